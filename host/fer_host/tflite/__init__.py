"""Looking into a tflite file: its operators and tensors, and the ranges that its activations take."""
