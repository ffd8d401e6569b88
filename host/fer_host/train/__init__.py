"""Training: rows, loop, losses, folds. Start at run.py."""
