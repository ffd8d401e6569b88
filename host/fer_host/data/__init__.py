"""Data sets, as rows of faces with labels, and augmentation. Start at load.py."""
