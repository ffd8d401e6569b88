"""What host and device agree on: bundle, preprocess, crop geometry, labels and JSON schemas.

Standard library and NumPy only; the one part of fer_edge that fer_host imports.
"""
