"""Questions that are asked of every sample of a data source."""
