"""Using a trained model: prediction, generation, tokens and features from values."""
