"""Faster paths for CPUs, behind plain calls with a plain fallback. docs/performance.md has the gain of each."""
