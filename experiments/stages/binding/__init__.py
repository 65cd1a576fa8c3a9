"""Stage kind ``binding``."""
