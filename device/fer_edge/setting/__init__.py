"""Which bundle runs here and how: ``setting.py`` (start here), ``find.py``, ``tuned.py``."""
