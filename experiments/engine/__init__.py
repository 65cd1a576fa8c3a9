"""Running stages: workers, ranks, progress."""
