"""The report of an ablation, as a page and for a terminal."""
