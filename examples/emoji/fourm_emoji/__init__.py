"""Emoji for fourm-lab: pictures, masks, names and categories from Google's Noto emoji, and their modalities."""
