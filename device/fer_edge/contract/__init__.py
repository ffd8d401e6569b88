"""What host and device agree on: bundle, preprocess, crop geometry, labels, JSON schemas. Start with ``manifest.py``.

Standard library and NumPy only; the one part of fer_edge that fer_host imports.
"""
