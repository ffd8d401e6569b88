"""fer-edge: facial expression recognition on small computers (the device side)."""

__version__ = "0.1.0"
