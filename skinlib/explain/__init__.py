"""Explanations: where a network looked, and whether the lesion is there."""
