"""Data sources. Nothing else of `modalities` imports this package."""
