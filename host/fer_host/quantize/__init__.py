"""HAWQC: a bit width for every channel, and the mixed tflite file made by it. Start at hawqc.py."""
