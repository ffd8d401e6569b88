"""The child's side of a trial: every network of a bundle loads, runs, and gives numbers. It is shut in before.

A tflite or ONNX file is no program, but a damaged one makes the interpreter read and write where it should not.
"""

from __future__ import annotations

import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_edge.classifier.onnx_file import check_onnx
from fer_edge.classifier.onnx_runtime import installed_version
from fer_edge.classifier.runner import open_runner
from fer_edge.classifier.runtime import find_runtime, invoke
from fer_edge.contract import bounds
from fer_edge.contract.bundle import Bundle, open_bundle
from fer_edge.contract.specs import DetectorSpec
from fer_edge.detectors import make_detector
from fer_edge.detectors.network import Engine, open_interpreter
from fer_edge.errors import BundleError, EdgeError
from fer_edge.pipeline import open_pipeline
from fer_edge.program.child import Limits, confine, say
from fer_edge.setting.setting import setting_for
from fer_edge.trial.archive import unpack
from fer_edge.types import FaceBox, RgbImage

SIDE_PX = 96  # of the picture that detectors and pipeline are tried with
ANY_PX = 24  # what a network that takes any size is given
Then = Callable[[Bundle], dict[str, Any]]


def main(arguments: list[str], then: Then = lambda _: {}) -> None:
    """Tries one bundle and answers: ``trying`` before each network, at the end ``problem`` or ``done``.

    Args:
        arguments: a bundle's folder or archive, memory in bytes, processor time in s, an empty folder for the archive
            or "", the expected sha256 or "".
        then: what else is done with a bundle that runs; a part of the answer.
    """
    path, memory_bytes, cpu_s, folder, sha256 = arguments[:5]
    find_runtime()  # whatever has to be imported is, before the door is shut
    cv2.setNumThreads(1)
    try:
        place = Path(path)
        if folder:
            say(trying="its archive")
            confine(Limits(int(memory_bytes), int(cpu_s), bounds.BUNDLE_FILE_BYTES), may_write=True)
            place = unpack(place, Path(folder))
        lacks = confine(Limits(int(memory_bytes), int(cpu_s), bounds.ANSWER_BYTES))
        say(trying="its manifest")
        bundle = open_bundle(place)
        if sha256 not in ("", bundle.sha256):
            raise BundleError(f"bundle {path}: was changed meanwhile; start again")
        run_all(bundle)
        found = then(bundle)
    except MemoryError:
        say(problem=f"bundle {path}: takes more than {int(memory_bytes) >> 20} MB of memory to try; do not use it")
        return
    except Exception as error:  # whatever a bundle makes of it is the finding
        text = str(error) if isinstance(error, EdgeError) else " ".join(f"{type(error).__name__}: {error}".split())
        say(problem=text.replace(folder, path) if folder else text)
        return
    peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    say(done=True, sha256=bundle.sha256, lacks=lacks, peak_bytes=peak_bytes, **found)


def run_all(bundle: Bundle) -> None:
    """Runs every network once; answers ``trying`` before each.

    Raises:
        EdgeError: one does not load or run, is not what the manifest says, or gives what is no number.
    """
    manifest = bundle.manifest
    for variant in manifest.variants:
        say(trying=f"variant {variant.id}")
        if variant.format == "onnx":
            check_onnx(bundle.read(variant.file), f"variant {variant.id}")
            if not installed_version():  # then nothing runs it here; once there is one, the trial is made again
                continue
        inputs = np.random.default_rng(1).normal(size=(2, *variant.input_hwc)).astype(np.float32)
        runner = open_runner(bundle.read(variant.file), variant, provider="cpu")
        for batch in (inputs[:1], np.zeros_like(inputs)):
            _finite(bundle, f"variant {variant.id}", runner(batch))
    picture = np.random.default_rng(1).integers(0, 256, (SIDE_PX, SIDE_PX, 3), dtype=np.uint8)
    for spec in (manifest.detector, *manifest.other_detectors):
        say(trying=f"detector {spec.id}")
        for form in (manifest.find_detector(name) for name in spec.names):
            for role in form.files:
                if form.format == "onnx":
                    check_onnx(bundle.read(role), f"detector {spec.id}, {role}")
            if form.format == "onnx" and not installed_version():
                continue
            for role in form.files:
                _run_detector_file(bundle, form, role)
            make_detector(form, bundle.read, provider="cpu").detect(picture)
    say(trying="a face")
    pipeline = open_pipeline(bundle, setting_for(manifest, threads=1))
    _finite(bundle, "a face", np.array(pipeline.classify(picture, [_face()], {})))


def _face() -> FaceBox:
    marks = {"right_eye": (32.0, 40.0), "left_eye": (64.0, 40.0), "nose": (48.0, 56.0), "mouth": (48.0, 72.0)}
    return FaceBox((24.0, 24.0, 48.0, 60.0), marks, 1.0)


def _run_detector_file(bundle: Bundle, spec: DetectorSpec, role: str) -> None:
    """Its raw outputs: those that are no number would look like a picture without faces."""
    what, content = f"detector {spec.id}, {role}", bundle.read(role)
    engine = Engine(format=spec.format, provider="cpu")
    interpreter = open_interpreter(content, what, engine)
    details = interpreter.get_input_details()
    if len(details) != 1 or len(details[0]["shape"]) != 4 or details[0]["dtype"] not in (np.float32, np.int8):
        raise BundleError(f"bundle {bundle.path}: {what} takes no picture; rebuild the bundle")
    shape = tuple(int(n) for n in details[0]["shape"])
    if min(shape[1:3]) < ANY_PX:
        shape = (1, ANY_PX, ANY_PX, 3)
        interpreter = open_interpreter(content, what, engine, input_shape=shape)
    picture: RgbImage = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    as_int8 = (picture ^ np.uint8(128)).view(np.int8)
    floats = picture.astype(np.float32) / 127.5 - 1
    interpreter.set_tensor(details[0]["index"], as_int8 if details[0]["dtype"] is np.int8 else floats)
    invoke(interpreter, what)
    for output in interpreter.get_output_details():
        _finite(bundle, what, interpreter.get_tensor(output["index"]))


def _finite(bundle: Bundle, what: str, outputs: NDArray[Any]) -> None:
    if not np.isfinite(outputs).all():
        raise BundleError(f"bundle {bundle.path}: {what} gives what is no number; it is damaged: do not use it")
