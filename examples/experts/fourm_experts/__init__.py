"""Labellers for fourm-lab by networks that come in packages, and the modalities that they make."""
