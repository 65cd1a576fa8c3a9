"""The 4M encoder-decoder."""
