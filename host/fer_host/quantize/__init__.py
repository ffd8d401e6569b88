"""What quantization needs to know: activation ranges."""
