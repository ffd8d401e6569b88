"""Gated pruning: which channels go together, what each is worth, the network without them. Start at run.py."""
