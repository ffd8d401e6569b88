"""A bundle that nobody vouches for, tried in a process that may die of it. Start with ``first_load.py``."""
