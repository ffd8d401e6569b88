"""Measures a bundle on this machine: time, memory, power, heat, and what disturbed the measurement.

``session`` (start here: what is measured) → ``measure`` (the loop) → ``document`` → ``report``.
"""
