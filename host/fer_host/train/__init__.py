"""Training: loop, losses, metrics, checkpoints."""
