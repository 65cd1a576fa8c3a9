"""Samples in tar archives: one archive per modality and shard, as published for 4M, or one archive per shard."""
