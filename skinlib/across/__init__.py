"""What the notebooks of several papers share."""
