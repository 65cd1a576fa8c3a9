"""Layers that the model and the tokenizers share."""
