"""Records the interface of the real picamera2 that our stand-in must have; prints JSON.

Run where picamera2 and libcamera import, e.g. in the tree that `make test-vm` lays out:
    cd tests/device/data; chroot ../../../build/vm/root /opt/venv/bin/python - < record_picamera2.py > picamera2.json
"""

from __future__ import annotations

import importlib.metadata
import inspect
import json
import platform
from typing import Any

CAMERA = (
    "__init__",
    "global_camera_info",
    "create_video_configuration",
    "configure",
    "start",
    "camera_configuration",
    "capture_request",
    "cancel_all_and_flush",
    "stop",
    "close",
)
REQUEST = ("make_array", "get_metadata", "release")


def parameters(function: Any) -> list[str]:
    """Names of a function's parameters; ``=`` after those that have a default."""
    signature = inspect.signature(function).parameters.values()
    return [p.name + ("=" if p.default is not p.empty else "") for p in signature]


def interface(camera: Any, request: Any) -> dict[str, list[str]]:
    """The parameters of every method that fer-edge uses, by ``Class.method``."""
    found = {f"Picamera2.{name}": parameters(getattr(camera, name)) for name in CAMERA}
    found["CameraManager.reset"] = parameters(type(camera._cm).reset)
    assert isinstance(inspect.getattr_static(camera, "camera_controls"), property)
    return found | {f"CompletedRequest.{name}": parameters(getattr(request, name)) for name in REQUEST}


def main() -> None:
    from picamera2 import Picamera2
    from picamera2.request import CompletedRequest

    document = {
        "package": "picamera2",
        "version": importlib.metadata.version("picamera2"),
        "how": f"record_picamera2.py: inspect.signature of the installed package, Python {platform.python_version()}",
        "interface": interface(Picamera2, CompletedRequest),
    }
    print(json.dumps(document, indent=2))


if __name__ == "__main__":
    main()
