"""Calibration sets: which faces give the activation ranges, and whether they are fit to."""
