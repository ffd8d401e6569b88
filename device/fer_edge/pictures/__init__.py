"""Photos: read (``photo.py``, start here), and written with what was found in them (``annotate.py``)."""
