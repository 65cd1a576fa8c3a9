"""The ``folder`` source: a folder for each modality, or one metadata table."""
