"""What modalities of one kind share: images and maps, features, texts and records, metadata."""
