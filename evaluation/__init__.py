"""Evaluation of models on held-out samples: reference levels, tasks, statistics and the report."""
