"""Data sets in the forms of Hugging Face: Arrow on disk, Parquet files, and data sets of the Hub."""
