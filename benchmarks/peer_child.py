"""One contestant of benchmarks/peers.py, in its own environment: reads commands from stdin, answers in JSON lines.

python peer_child.py fer-tflite|fer-float|fer-edge|fer-edge-run BUNDLE|-
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

SEVEN = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")  # order of the fer package


class Fer:
    """The ``fer`` package as its README uses it: Haar cascade, mini-XCEPTION."""

    def __init__(self, use_tflite: bool) -> None:
        from fer.fer import FER

        self._fer = FER(mtcnn=False, use_tflite=use_tflite)

    def n_faces(self, bgr: Any, is_video: bool = False) -> int:
        """Detects and classifies; how many faces."""
        return len(self._fer.detect_emotions(bgr))

    def classify(self, crops: Any) -> list[int]:
        """The network alone, on face crops prepared as the package prepares them (64 px, -1 to 1)."""
        import cv2

        faces = np.array([cv2.resize(crop, (64, 64)) for crop in crops], dtype="float32")
        faces = (faces / 255.0 - 0.5) * 2.0
        found: list[int] = []
        for i in range(0, len(faces), 64):
            part = faces[i : i + 64]
            if not self._fer.use_tflite:
                part = part[..., None]
            found += np.asarray(self._fer._classify_emotions(part)).argmax(axis=1).tolist()
        return found


class Edge:
    """This kit: every frame a photo, or (``follow``) as ``fer-edge run`` reads a video."""

    def __init__(self, bundle: str, follow: bool) -> None:
        from fer_edge.contract.bundle import open_bundle
        from fer_edge.pipeline import open_pipeline
        from fer_edge.program.own import one_opencv_thread
        from fer_edge.tracking.track import TrackSettings

        if follow:
            one_opencv_thread()  # as fer-edge run does
        self._bundle = open_bundle(Path(bundle))
        self._pipeline = open_pipeline(self._bundle)
        self._video = open_pipeline(self._bundle, tracking=TrackSettings()) if follow else self._pipeline
        self._index = 0

    def n_faces(self, bgr: Any, is_video: bool = False) -> int:
        """Detects and classifies; how many faces."""
        import cv2

        from fer_edge.types import Frame

        self._index += 1
        frame = Frame(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), self._index, self._index / 30, "peer")
        return len((self._video if is_video else self._pipeline).read_frame(frame).faces)

    def classify(self, crops: Any) -> list[int]:
        """The network alone: contempt, which the package does not know, is left out."""
        from fer_edge.contract.preprocess import preprocess

        manifest, variant = self._bundle.manifest, self._pipeline.variant
        order = [manifest.labels.index(name) for name in SEVEN]
        rows = [
            self._pipeline.runner(preprocess(crop, manifest.input, variant.input_hw)[None])[0][order] for crop in crops
        ]
        return np.stack(rows).argmax(axis=1).tolist()


def memory() -> dict[str, int]:
    """PSS and peak RSS of this process, in bytes."""
    found = {}
    for name, file, key in (("pss", "smaps_rollup", "Pss"), ("peak_rss", "status", "VmHWM")):
        match = re.search(rf"^{key}:\s*(\d+) kB", Path(f"/proc/self/{file}").read_text(), re.MULTILINE)
        found[name] = int(match[1]) * 1024 if match else 0
    return found


def main() -> None:
    answer = os.fdopen(os.dup(1), "w", buffering=1)  # libraries print what they like to 1
    os.dup2(2, 1)
    kind, bundle = sys.argv[1:]
    is_ours = kind.startswith("fer-edge")
    work: Any = Edge(bundle, kind == "fer-edge-run") if is_ours else Fer(kind == "fer-tflite")
    import cv2

    clip: list[Any] = []
    for line in sys.stdin:
        command, *arguments = json.loads(line)
        result: Any = None
        if command == "photo":
            result = work.n_faces(cv2.imread(arguments[0]))
        elif command == "photos":
            result = sum(work.n_faces(cv2.imread(path)) > 0 for path in arguments)
        elif command == "load":
            capture = cv2.VideoCapture(arguments[0])
            while len(clip) < arguments[1]:
                ok, frame = capture.read()
                if not ok:
                    break
                clip.append(frame)
            result = len(clip)
        elif command == "frames":
            started, n = time.perf_counter(), 0
            for frame in clip[arguments[0] : arguments[1]]:
                n += work.n_faces(frame, is_video=True) > 0
            result = [time.perf_counter() - started, n]
        elif command == "classify":
            result = work.classify(np.load(arguments[0]))
        elif command == "memory":
            result = memory()
        print(json.dumps(result), file=answer)


if __name__ == "__main__":
    main()
