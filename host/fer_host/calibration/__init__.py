"""Which faces give the activation ranges, and whether they are fit to; ``calibrate.py`` uses it. Start at ranges.py."""
