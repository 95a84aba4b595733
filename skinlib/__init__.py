"""skinlib: the thin module under the notebooks."""

__version__ = "0.1.0"
