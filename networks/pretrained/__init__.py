"""Conversion between published 4M checkpoints and our networks: configs and tensors in memory, no files."""
