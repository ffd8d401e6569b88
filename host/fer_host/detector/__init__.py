"""Face detectors: from their packages to tflite, and the crop geometry measured through them. Start at networks.py."""
