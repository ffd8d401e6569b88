"""Looking into a tflite file: operators, tensors, arithmetic, the ranges of its activations. Start at inspection.py."""
