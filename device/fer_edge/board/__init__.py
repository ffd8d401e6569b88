"""What machine this is and how it is doing: ``identify.py`` (start here) reads /proc and /sys."""
