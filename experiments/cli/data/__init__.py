"""Commands about data sources."""
