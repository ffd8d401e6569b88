"""One contestant of benchmarks/peers.py, in its own environment: reads commands from stdin, answers in JSON lines.

python peer_child.py fer-tflite|fer-float|fer-edge|fer-edge-every|fer-edge-run[.int8] BUNDLE|-
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
    """This kit: every frame a photo, or a video, in which faces are searched at least every ``every`` frames.

    ``form`` is that of the detector: "" or "int8".
    """

    def __init__(self, bundle: str, every: int | None, form: str) -> None:
        from fer_edge.contract.bundle import open_bundle
        from fer_edge.pipeline import open_pipeline
        from fer_edge.program.own import one_opencv_thread
        from fer_edge.setting.setting import setting_for
        from fer_edge.tracking.track import TrackSettings

        if every is not None:
            one_opencv_thread()  # as fer-edge run does
        self._bundle = open_bundle(Path(bundle))
        manifest = self._bundle.manifest
        setting = setting_for(manifest, detector=".".join(filter(None, (manifest.detector.id, form))))
        self._pipeline = open_pipeline(self._bundle, setting)
        self._video = self._pipeline
        if every is not None:
            self._video = open_pipeline(self._bundle, setting, tracking=TrackSettings(detect_every=every))
        self._index = 0

    def n_faces(self, bgr: Any, is_video: bool = False) -> int:
        """Detects and classifies; how many faces."""
        import cv2

        from fer_edge.types import Frame

        self._index += 1
        frame = Frame(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), self._index, self._index / 30, "peer")
        return len((self._video if is_video else self._pipeline).read_frame(frame).faces)

    def parts(self, frames: list[Any]) -> dict[str, float]:
        """CPU ms a frame in each part of it, without what is in the parts inside; those of this version that exist."""
        spent: dict[str, float] = {}
        undo = [_timed(where, name, part, spent) for where, name, part in _parts()]
        for frame in frames:
            self.n_faces(frame, is_video=True)
        for restore in undo:
            restore()
        return {part: seconds * 1000 / len(frames) for part, seconds in spent.items()}

    def classify(self, crops: Any) -> list[int]:
        """The network alone: contempt, which the package does not know, is left out."""
        from fer_edge.contract.preprocess import preprocess

        manifest, variant = self._bundle.manifest, self._pipeline.variant
        order = [manifest.labels.index(name) for name in SEVEN]
        rows = [
            self._pipeline.runner(preprocess(crop, manifest.input, variant.input_hw)[None])[0][order] for crop in crops
        ]
        return np.stack(rows).argmax(axis=1).tolist()


def _parts() -> list[tuple[Any, str, str]]:
    """Functions of this version of the kit, and what they are a part of."""
    import cv2

    from fer_edge import pipeline
    from fer_edge.classifier import runner
    from fer_edge.detectors import blazeface, doubt, search

    listed: list[tuple[Any, str, str]] = [
        (pipeline.Pipeline, "read_frame", "frame: tracking, smoothing, the rest"),
        (doubt.DoubtingDetector, "detect", "detector: looks chosen, faces made"),
        (search.SearchingDetector, "detect", "detector: looks chosen, faces made"),
        (blazeface.BlazeFace, "look", "detector: input, scores, decoding"),
        (blazeface, "invoke", "network: detector"),
        (search, "weighted_nms", "detector: merging candidates"),
        (search, "overlap", "detector: merging candidates"),
        (cv2, "resize", "cv2.resize (detector's input, crop)"),
        (pipeline, "crop_face", "crop: align"),
        (pipeline, "preprocess", "crop: preprocess"),
        (runner.LiteRunner, "__call__", "classifier: quantize, dequantize"),
        (runner, "invoke", "network: classifier"),
    ]
    return [each for each in listed if hasattr(each[0], each[1])]


_inside: list[float] = []  # s spent in the parts inside of each part that is running


def _timed(where: Any, name: str, part: str, spent: dict[str, float]) -> Any:
    """Counts a function's own CPU time; gives what takes that back."""
    real = getattr(where, name)

    def timed(*arguments: Any, **options: Any) -> Any:
        started = time.thread_time()
        _inside.append(0.0)
        try:
            return real(*arguments, **options)
        finally:
            passed = time.thread_time() - started
            spent[part] = spent.get(part, 0.0) + passed - _inside.pop()
            if _inside:
                _inside[-1] += passed

    setattr(where, name, timed)
    return lambda: setattr(where, name, real)


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
    kind, _, form = kind.partition(".")
    every = {"fer-edge-every": 1, "fer-edge-run": 10}.get(kind)
    work: Any = Edge(bundle, every, form) if is_ours else Fer(kind == "fer-tflite")
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
            started, cpu, n = time.perf_counter(), time.process_time(), 0
            for frame in clip[arguments[0] : arguments[1]]:
                n += work.n_faces(frame, is_video=True) > 0
            result = [time.perf_counter() - started, n, time.process_time() - cpu]
        elif command == "parts":
            result = work.parts(clip[arguments[0] : arguments[1]])
        elif command == "classify":
            result = work.classify(np.load(arguments[0]))
        elif command == "memory":
            result = memory()
        print(json.dumps(result), file=answer)


if __name__ == "__main__":
    main()
