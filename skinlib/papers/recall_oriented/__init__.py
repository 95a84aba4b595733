"""Rumale et al. 2026: the model, the plan of its runs, and its exhibits."""
