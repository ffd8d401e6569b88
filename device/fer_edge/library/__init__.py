"""fer_edge for other programs: what ``import fer_edge`` names. Start with ``reader.py``."""
