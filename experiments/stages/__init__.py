"""The stages of an experiment: one file a kind, and the records that they share."""
