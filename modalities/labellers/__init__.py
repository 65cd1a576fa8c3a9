"""Exact code that computes labels from images, maps and texts."""
