"""Tux Paint's stamps for fourm-lab: pictures, masks, names in four languages, sounds, and their modalities."""
