"""The modalities of 4M-21, one file each."""
