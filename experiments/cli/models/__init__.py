"""Commands that use, measure and convert trained models."""
