"""The commands of ``fer-edge``, a module each with ``run(arguments)``. Start with ``image.py``."""
