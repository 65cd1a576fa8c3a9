"""Files: reading and writing values, atomic writing, records as JSON."""
