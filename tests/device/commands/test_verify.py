"""``verify`` passes on what the bundle was made with, and fails when anything computes differently."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from device_helpers import INPUT, golden_arrays, make_bundle, rewritten, tiny

from fer_edge.commands.verify import compare_probabilities, format_table, verify
from fer_edge.contract import bounds
from fer_edge.contract.bundle import Bundle
from fer_edge.contract.manifest import Golden
from fer_edge.errors import BundleError, EdgeError, VerifyError

BOTH = ["float32", "int8"]


def with_other_weight(content: bytes) -> bytes:
    """The network with its largest constant changed a little: still loads, answers otherwise."""
    changed = bytearray(content)
    at = content.index(weights_of(content))
    for i in range(at, at + 24):
        changed[i] ^= 0x10
    return bytes(changed)


def weights_of(content: bytes) -> bytes:
    """A run of bytes inside the convolution's kernel: the flatbuffer's longest stretch without a zero byte."""
    stretches = [part for part in content.split(b"\0") if len(part) >= 32]
    return max(stretches, key=len)[4:28]


def test_passes_where_it_was_made(bundle: Bundle) -> None:
    rows = verify(bundle, BOTH)
    assert [row.variant for row in rows] == BOTH
    assert rows[1].reference_max_abs == 0
    assert all(row.n_top1 > 0 for row in rows)
    assert format_table(rows).count("ok") == 2


def test_a_bundle_of_classifiers_is_verified_without_opencv(bundle: Bundle) -> None:
    """As on a 32-bit Raspberry Pi OS, where Debian's packages have an interpreter and no OpenCV."""
    line = "import sys; sys.modules['cv2'] = None; from fer_edge.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", line, "verify", "--bundle", str(bundle.path), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["variants"]


@pytest.mark.parametrize("name", BOTH)
def test_other_weights_fail(name: str, detector_model: bytes, tmp_path: Path) -> None:
    other = make_bundle(tmp_path / "b", detector_model, **{name: with_other_weight(tiny(name))})
    with pytest.raises(VerifyError, match=f"variant {name}, reference kernels") as error:
        verify(other, [name])
    assert "\n" not in str(error.value)
    verify(other, [v for v in BOTH if v != name])  # the other variant is as it was


@pytest.mark.parametrize("field", ["mean", "std", "source_px"])
def test_another_preprocess_fails(bundle: Bundle, field: str, tmp_path: Path) -> None:
    values = {"mean": (0.5, 0.5, 0.51), "std": (0.25, 0.25, 0.24), "source_px": 24}
    other = rewritten(bundle, tmp_path / "b", input=dataclasses.replace(INPUT, **{field: values[field]}))
    with pytest.raises(VerifyError, match="preprocess"):
        verify(other, BOTH)


def arrays() -> dict[str, np.ndarray]:
    return golden_arrays({name: tiny(name) for name in BOTH})


def test_one_stored_output_that_differs_by_one(detector_model: bytes, tmp_path: Path) -> None:
    golden = arrays()
    golden["reference/int8"][2, 3] += 1
    with pytest.raises(VerifyError, match="int8, reference kernels"):
        verify(make_bundle(tmp_path / "b", detector_model, golden), BOTH)


def test_a_probability_outside_the_tolerance(detector_model: bytes, tmp_path: Path) -> None:
    golden = arrays()
    golden["probabilities/float32"][0, 0] += 0.01
    with pytest.raises(VerifyError, match="float32, default kernels"):
        verify(make_bundle(tmp_path / "b", detector_model, golden), BOTH)


@pytest.mark.parametrize("name", ["crops", "inputs", "reference/int8", "probabilities/float32"])
def test_a_golden_file_without_an_array(detector_model: bytes, tmp_path: Path, name: str) -> None:
    golden = {key: array for key, array in arrays().items() if key != name}
    with pytest.raises(BundleError, match=name):
        verify(make_bundle(tmp_path / "b", detector_model, golden), BOTH)


def test_a_golden_array_of_another_shape(detector_model: bytes, tmp_path: Path) -> None:
    for name in ("reference/int8", "probabilities/int8", "inputs"):
        golden = arrays()
        golden[name] = golden[name][:2]
        with pytest.raises(EdgeError):
            verify(make_bundle(tmp_path / name, detector_model, golden), ["int8"])


@pytest.mark.bound("GOLDEN_INPUTS")
def test_so_many_golden_inputs(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "GOLDEN_INPUTS", len(arrays()["inputs"]))
    verify(bundle, BOTH)
    monkeypatch.setattr(bounds, "GOLDEN_INPUTS", len(arrays()["inputs"]) - 1)
    with pytest.raises(BundleError, match="golden file: found 4 inputs, expected at most 3"):
        verify(bundle, BOTH)


def test_a_variant_without_a_tolerance(bundle: Bundle, tmp_path: Path) -> None:
    other = rewritten(bundle, tmp_path / "b", golden=dataclasses.replace(bundle.manifest.golden, tolerance_p={}))
    with pytest.raises(EdgeError, match="tolerance"):
        verify(other, ["int8"])


def test_nan_is_never_within_a_limit() -> None:
    golden = Golden("golden", 1, 0.1, {"v": 0.05})
    with pytest.raises(VerifyError):
        compare_probabilities("v", np.array([[np.nan, 0.5]], np.float32), np.array([[0.5, 0.5]], np.float32), golden)


@pytest.mark.parametrize(
    ("found", "expected", "passes"),
    [
        ((0.55, 0.45), (0.60, 0.40), True),
        ((0.48, 0.52), (0.53, 0.47), True),  # another answer, but the expected one was not clear
        ((0.48, 0.52), (0.56, 0.44), False),  # within the tolerance, but a clear answer changed
        ((0.70, 0.30), (0.60, 0.40), False),  # the same answer, but too far
    ],
)
def test_top1_counts_only_where_it_is_clear(
    found: tuple[float, float], expected: tuple[float, float], passes: bool
) -> None:
    golden = Golden("golden", 1, 0.1, {"v": 0.09})
    pair = np.array([found], dtype=np.float32), np.array([expected], dtype=np.float32)
    if passes:
        compare_probabilities("v", *pair, golden)
    else:
        with pytest.raises(VerifyError):
            compare_probabilities("v", *pair, golden)
