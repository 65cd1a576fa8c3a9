"""Tests of experiments/labelling."""
