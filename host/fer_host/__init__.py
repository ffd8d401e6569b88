"""fer-host: networks, training, compression and conversion. Read pipeline.py, then calibrate.py, then release.py."""

__version__ = "0.1.0"
