"""Evaluation: pure functions of prediction tables. No image, no model and no GPU is needed in this room."""
