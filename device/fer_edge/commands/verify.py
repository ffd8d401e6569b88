"""``fer-edge verify``: replays the bundle's golden vectors on this machine's kernels."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fer_edge.classifier.onnx_runtime import installed_version
from fer_edge.classifier.runner import LiteRunner, open_runner
from fer_edge.contract import bounds
from fer_edge.contract.answer import raw_answers
from fer_edge.contract.arrays import ArraySpec, read_arrays
from fer_edge.contract.bounds import GOLDEN_ARRAY_BYTES as _LARGEST_BYTES
from fer_edge.contract.bundle import Bundle, open_bundle
from fer_edge.contract.labels import LabelSet
from fer_edge.contract.manifest import Golden, Manifest, Variant
from fer_edge.contract.preprocess import preprocess
from fer_edge.errors import BundleError, SchemaError, UsageError, VerifyError
from fer_edge.program import child
from fer_edge.setting.find import find_bundle
from fer_edge.setting.setting import default_threads

if TYPE_CHECKING:  # detectors need OpenCV, which the golden vectors of a classifier do without
    from fer_edge.detectors.compared import ComparedDetector

SCHEMA = "fer-edge/verify/1"
INPUT_TOLERANCE = 1e-3  # of a normalized input: what float32 sums in another order may differ
FLOAT_TOLERANCE = 1e-4  # of a float output with reference kernels


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; gives the exit status."""
    if arguments.untrusted is not None:
        return _untrusted(arguments)
    if arguments.require_signature is not None:
        raise UsageError("--require-signature: is of an archive; give --untrusted ARCHIVE with it")
    bundle = open_bundle(find_bundle(arguments.bundle))
    names = [arguments.variant] if arguments.variant else that_can_run(bundle.manifest)
    threads = arguments.threads or default_threads()
    rows = verify(bundle, names, threads)
    detectors = [] if arguments.variant else verify_detectors(bundle, threads)
    document: dict[str, Any] = {"schema": SCHEMA, "variants": [dataclasses.asdict(row) for row in rows]}
    if detectors:
        document["detectors"] = [dataclasses.asdict(row) for row in detectors]
    print(json.dumps(document) if arguments.json else format_table(rows, detectors))
    return 0


def _untrusted(arguments: argparse.Namespace) -> int:
    """As ``run``, in a child that is shut in: here nothing of the bundle is opened."""
    from fer_edge.trial import first_load, signature

    if arguments.untrusted and arguments.bundle is not None:
        raise UsageError("--untrusted and --bundle name a bundle each; give one")
    path = Path(arguments.untrusted) if arguments.untrusted else find_bundle(arguments.bundle)
    if not path.exists():
        raise BundleError(f"bundle {path}: no such folder or archive; expected one made by `make bundle`")
    digest, signed = "", ""
    if arguments.require_signature is not None:
        digest, signed = signature.check(path, arguments.require_signature)
    more = (arguments.variant or "", str(arguments.threads or 1))
    found = first_load.tried(path, bounds.VERIFY_CPU_S, bounds.VERIFY_WALL_S, __name__, more, digest)
    rows = [Verified(**row) for row in found["rows"]]
    detectors = _compared(found["detectors"])
    if arguments.json:
        tried = {name: found[name] for name in ("sha256", "lacks", "peak_bytes")}
        tried |= {"signed": signed} if signed else {}
        compared = {"detectors": found["detectors"]} if detectors else {}
        print(json.dumps({"schema": SCHEMA, "variants": found["rows"], **compared, "tried": tried}))
        return 0
    print(format_table(rows, detectors))
    how = found["lacks"] or "without network, other programs and writing"
    if signed:
        print(f"{path}: {signed}")
    print(f"tried in a process of its own, {how}; it took {found['peak_bytes'] / 1e6:.0f} MB")
    return 0


def _compared(rows: list[dict[str, Any]]) -> list[ComparedDetector]:
    if not rows:
        return []
    from fer_edge.detectors.compared import ComparedDetector

    return [ComparedDetector(**row) for row in rows]


def main(arguments: list[str]) -> None:
    """The child's side of ``--untrusted``."""
    from fer_edge.trial import networks

    variant, threads = arguments[5:]

    def replay(bundle: Bundle) -> dict[str, Any]:
        child.say(trying="replaying the golden vectors")
        names = [variant] if variant else that_can_run(bundle.manifest)
        detectors = [] if variant else verify_detectors(bundle, int(threads))
        rows = verify(bundle, names, int(threads))
        return {"rows": list(map(dataclasses.asdict, rows)), "detectors": list(map(dataclasses.asdict, detectors))}

    networks.main(arguments, replay)


@dataclass(frozen=True)
class Verified:
    """One variant that passed: largest |difference| of an output and of a probability, and top-1 comparisons made.

    ``reference_max_abs`` is None for a dynamic-range or ONNX variant, which has no results that all runtimes share.
    ``runs_on`` is what computed the probabilities: package, version and onnxruntime's provider; ``lacks`` why that is
    not what was meant, "" where it is.
    """

    variant: str
    reference_max_abs: float | None
    probability_max_abs: float
    n_top1: int
    runs_on: str
    lacks: str


def that_can_run(manifest: Manifest) -> list[str]:
    """The variants; without onnxruntime those for it are left out, but never the default one."""
    has_onnx = bool(installed_version())
    ids = [variant.id for variant in manifest.variants if has_onnx or variant.format != "onnx"]
    return ids if manifest.default_variant in ids else [*ids, manifest.default_variant]


def verify(bundle: Bundle, variant_ids: list[str], threads: int = 1) -> list[Verified]:
    """Checks the preprocess, then each variant with the reference kernels and with the default ones.

    Args:
        bundle: whose golden file is replayed.
        variant_ids: of the variants to check.
        threads: of the interpreter.

    Raises:
        VerifyError: names what differs, found and limit.
        BundleError: the golden file lacks an array.
    """
    manifest = bundle.manifest
    variants = [manifest.variant(variant_id) for variant_id in variant_ids]
    for variant in variants:
        if variant.id not in manifest.golden.tolerance_p:
            raise BundleError(f"bundle {bundle.path}: golden has no tolerance_p for {variant.id}; rebuild the bundle")
    arrays = _golden_arrays(bundle, variants)
    inputs = arrays["inputs"]
    found = np.stack([preprocess(crop, manifest.input, inputs.shape[1:3]) for crop in arrays["crops"]])
    _limit("preprocess", "input", float(np.abs(found - inputs).max()), INPUT_TOLERANCE)
    return [_verify_variant(bundle, variant, arrays, threads) for variant in variants]


def verify_detectors(bundle: Bundle, threads: int = 1) -> list[ComparedDetector]:
    """Each detector for onnxruntime against its tflite form on the golden crops; nothing without onnxruntime.

    Raises:
        VerifyError: one finds other faces.
        BundleError: the golden file lacks the crops.
    """
    manifest = bundle.manifest
    if not installed_version() or not any(
        spec.named(f"{spec.id}.onnx") for spec in (manifest.detector, *manifest.other_detectors)
    ):
        return []
    from fer_edge.detectors.compared import compare_detectors

    crops = _golden_arrays(bundle, [bundle.manifest.variant()])["crops"]
    return list(compare_detectors(bundle.manifest, bundle.read, crops, threads))


def _golden_arrays(bundle: Bundle, variants: list[Variant]) -> dict[str, NDArray[Any]]:
    manifest = bundle.manifest
    expected = {"crops": ArraySpec("image", ("n", *manifest.align.crop_hw, 3))}
    for variant in variants:
        expected["inputs"] = ArraySpec("number", ("n", *variant.input.shape[1:]))
        for kind in ("probabilities",) if variant.format == "onnx" else ("reference", "probabilities"):
            expected[f"{kind}/{variant.id}"] = ArraySpec("number", ("n", *variant.output.shape[1:]))
    try:
        found = read_arrays(bundle.read(manifest.golden.file), expected, largest_bytes=_LARGEST_BYTES)
    except SchemaError as error:
        raise BundleError(f"bundle {bundle.path}: golden file: {error}; rebuild the bundle") from error
    if (n := len(found["inputs"])) > bounds.GOLDEN_INPUTS:
        most = f"expected at most {bounds.GOLDEN_INPUTS}"
        raise BundleError(f"bundle {bundle.path}: golden file: found {n} inputs, {most}; rebuild the bundle")
    return found


def _verify_variant(bundle: Bundle, variant: Variant, arrays: dict[str, NDArray[Any]], threads: int) -> Verified:
    golden, inputs = bundle.manifest.golden, arrays["inputs"]
    content = bundle.read(variant.file)
    difference = None
    if _has_reference(variant):
        difference = _reference_difference(content, variant, inputs, arrays[f"reference/{variant.id}"], threads)
    runner = open_runner(content, variant, threads)
    probabilities = raw_answers(runner(inputs), bundle.manifest.sets)
    distance, n_top1 = compare_probabilities(
        variant.id, probabilities, arrays[f"probabilities/{variant.id}"], golden, bundle.manifest.sets
    )
    return Verified(variant.id, difference, distance, n_top1, str(runner.runs_on), runner.runs_on.lacks)


def _has_reference(variant: Variant) -> bool:
    """Whether there are kernels that give the same on every board.

    Those for float activations and int8 weights differ by runtime, and onnxruntime has none.
    """
    return variant.scheme != "dynamic" and variant.format != "onnx"


def _reference_difference(
    content: bytes, variant: Variant, inputs: NDArray[np.float32], expected: NDArray[Any], threads: int
) -> float:
    """Largest |difference| of the output with the reference kernels: none at all where the output is int8."""
    runner = LiteRunner(content, variant, threads, reference_kernels=True)
    found = np.concatenate([runner.raw(row[None]) for row in inputs])
    if found.dtype != expected.dtype or found.shape != expected.shape:
        raise VerifyError(f"variant {variant.id}: found output {found.dtype} {found.shape}, expected {expected.dtype}")
    difference = float(np.abs(found.astype(np.float64) - expected.astype(np.float64)).max())
    limit = 0.0 if variant.output.dtype == "int8" else FLOAT_TOLERANCE
    _limit(f"variant {variant.id}, reference kernels", "output", difference, limit)
    return difference


def compare_probabilities(
    variant_id: str,
    found: NDArray[np.float32],
    expected: NDArray[np.float32],
    golden: Golden,
    sets: Sequence[LabelSet] = (),
) -> tuple[float, int]:
    """Largest |difference| (n, outputs) and how many clear top-1 answers agreed, each label set's counted by itself.

    Raises:
        VerifyError: a probability is outside the tolerance, or a clear answer differs.
    """
    distance = float(np.abs(found - expected).max())
    slices = [slice(*each.slice) for each in sets] or [slice(None)]
    _limit(f"variant {variant_id}, default kernels", "probability", distance, golden.tolerance_p[variant_id])
    ordered = [np.sort(expected[:, own], axis=1) for own in slices]
    clear = np.concatenate([own[:, -1] - own[:, -2] >= golden.margin for own in ordered])
    differs = np.concatenate([found[:, own].argmax(axis=1) != expected[:, own].argmax(axis=1) for own in slices])
    wrong = np.flatnonzero(clear & differs)
    if len(wrong):
        raise VerifyError(
            f"variant {variant_id}, default kernels: another answer on {len(wrong)} of {int(clear.sum())} golden "
            f"inputs with a margin of {golden.margin:g}, expected none; update the interpreter or rebuild the bundle"
        )
    return distance, int(clear.sum())


def _limit(where: str, what: str, found: float, limit: float) -> None:
    if not found <= limit:
        raise VerifyError(
            f"{where}: |difference| of an {what} is {found:.4g}, expected at most {limit:g}; "
            "this interpreter rounds differently; update it or rebuild the bundle"
        )


def format_table(rows: Sequence[Verified], detectors: Sequence[ComparedDetector] = ()) -> str:
    """The results for the terminal."""
    lines = [f"{'variant':10} {'reference |Δ|':>14} {'probability |Δ|':>16} {'top-1 compared':>15}"]
    for row in rows:
        reference = "-" if row.reference_max_abs is None else f"{row.reference_max_abs:.3g}"
        where = f"{row.runs_on}; {row.lacks}" if row.lacks else row.runs_on
        lines.append(f"{row.variant:10} {reference:>14} {row.probability_max_abs:16.3g} {row.n_top1:15d}  ok  {where}")
    for each in detectors:
        overlap = "no face in them" if each.least_iou is None else f"{each.n_faces} faces, overlap {each.least_iou:.3f}"
        where = f"{each.runs_on}; {each.lacks}" if each.lacks else each.runs_on
        lines.append(f"{each.detector}: as tflite on the golden crops, {overlap}  ok  {where}")
    return "\n".join(lines)
