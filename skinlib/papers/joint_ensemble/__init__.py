"""Ashok et al. 2023: the model, the plan of its runs, and its exhibits."""
