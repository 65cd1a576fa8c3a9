"""Aligned tiles of the Earth for fourm-lab: sources, georeferencing, derived maps, captions, and their modalities."""
