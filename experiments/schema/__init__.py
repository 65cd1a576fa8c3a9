"""The settings of an experiment: their types, loading and description."""
