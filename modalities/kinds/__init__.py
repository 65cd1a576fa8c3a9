"""Base classes of modalities by kind: images and maps, features, texts and records, metadata."""
