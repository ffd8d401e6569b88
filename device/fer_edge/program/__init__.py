"""fer-edge as a program of its own: its process (``own.py``, start here), its log, its threads."""
