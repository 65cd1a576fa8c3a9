"""Examination of a data source: what it holds, and whatever in it would stop or spoil a training."""
