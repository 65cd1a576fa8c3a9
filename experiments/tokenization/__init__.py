"""Tokens of a whole source by a trained model's tokenizers, for those who prepare data once."""
