"""fer-host: networks, training, compression and conversion. Read pipeline.py, then calibrate.py, then release.py."""

import os

from fer_edge import __version__

# onnxruntime, also where onnxsim and onnx2tf load it, would send events to Microsoft and leave a number in ~/.cache
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

__all__ = ["__version__"]
