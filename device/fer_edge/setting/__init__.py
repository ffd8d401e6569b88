"""Which bundle runs here and how: ``find.py`` (start here) and ``tuned.py``."""
