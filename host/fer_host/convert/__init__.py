"""From a torch network to tflite files, one module a step, and the parity between every two steps."""
