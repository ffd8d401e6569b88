"""Gated pruning: which channels go together, what each is worth, and the smaller network without them."""
