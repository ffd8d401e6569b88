"""fer-host: networks, training, compression and conversion (the host side)."""

__version__ = "0.1.0"
