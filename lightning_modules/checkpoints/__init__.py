"""Models and tokenizers on disk, ours and published ones."""
