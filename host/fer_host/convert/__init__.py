"""From a torch network to tflite files, one module per step, and the parity between steps. Start at onnx_export.py."""
