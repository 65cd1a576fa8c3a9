"""Training: Lightning modules, the token store, checkpoints. No MLflow."""
