"""Holds this project against numbers that the published implementation computed: ``python -m tests.reference DIR``."""
