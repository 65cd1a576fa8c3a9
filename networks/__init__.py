"""How it is computed, in plain torch: no Lightning, no files, no logging."""
