"""fer-host: networks, training, compression and conversion. Read pipeline.py, then calibrate.py, then release.py."""

from fer_edge import __version__

__all__ = ["__version__"]
