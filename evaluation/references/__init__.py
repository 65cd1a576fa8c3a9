"""Chance levels and tokenizer round trips, which scores stand between."""
