"""The data room: cards, readers, checks, splits, synthetic sets and downloads."""
