"""Measures a bundle on this machine: time, memory, power, heat, and what disturbed the measurement.

``commands`` (the command line) → ``session`` (what is measured) → ``measure`` (the loop) → ``document`` → ``report``.
"""
