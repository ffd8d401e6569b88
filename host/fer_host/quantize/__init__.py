"""Quantization: activation ranges, and HAWQC, a bit width for every channel.

Read ``hawqc.py`` first: it tells the story from sensitivities to tuned weights.
"""
