"""Faster products on CPUs, behind plain calls with a plain fallback."""
