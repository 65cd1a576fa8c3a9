"""Lightning callbacks: progress, pictures, checkpoints."""
