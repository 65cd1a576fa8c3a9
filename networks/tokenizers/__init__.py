"""Tokenizers between the values of a modality and discrete codes."""
