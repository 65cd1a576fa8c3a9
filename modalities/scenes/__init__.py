"""A seeded procedural world, ray-cast exactly, with people and captions; and how each modality looks in it."""
