"""Thwin and Park: the model, the plan of its runs, and its exhibits."""
