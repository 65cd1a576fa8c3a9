"""Tasks: the ways to measure a model, one file each."""
