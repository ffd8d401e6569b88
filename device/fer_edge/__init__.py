"""fer-edge: facial expression recognition on small computers (the device side)."""

import os

__version__ = "0.1.0"

# OpenCV reads this once, when it is first imported: a picture that claims to be larger is refused before it is decoded
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", "100000000")
