"""Where samples come from. Nothing else of `modalities` imports this package."""
