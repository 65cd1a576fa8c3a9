"""From raw values to masked batches: shards on disk, tokens, loaders."""
