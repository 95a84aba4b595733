"""Khurshid et al.: the model, the plan of its runs, and its exhibits."""
