"""The commands of ``fer-edge``, one module each; start with ``image.py``."""
