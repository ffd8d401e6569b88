"""ONNX variants by onnxruntime on the CPU: the numbers of tflite, what is reported, what is left on the disk."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from device_helpers import DATA, SIDE, make_bundle, tiny, tiny_onnx, tiny_variant, with_onnx

from fer_edge.classifier import onnx_runtime
from fer_edge.classifier.onnx_runner import OnnxRunner
from fer_edge.classifier.onnx_runtime import assigned, engine_folder, find_onnxruntime, nodes_by_provider, open_session
from fer_edge.classifier.providers import CPU, CUDA
from fer_edge.classifier.runner import LiteRunner, open_runner
from fer_edge.commands import verify
from fer_edge.errors import RunnerError

HAS_ONNX = importlib.util.find_spec("onnxruntime") is not None
needs_onnx = pytest.mark.skipif(not HAS_ONNX, reason="needs the extra [onnx]")


def inputs(n: int = 3) -> np.ndarray:
    return np.random.default_rng(5).normal(0, 1, (n, SIDE, SIDE, 3)).astype(np.float32)


@needs_onnx
@pytest.mark.parametrize(("name", "most"), [("float32", 1e-5), ("int8", 1)])
def test_the_same_numbers_as_tflite(name: str, most: float) -> None:
    content, variant = tiny_onnx(name)
    lite, other = LiteRunner(tiny(name), tiny_variant(name)), open_runner(content, variant)
    assert isinstance(other, OnnxRunner)
    for row in inputs():
        a, b = lite.raw(row[None]), other.raw(row[None])
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        assert np.abs(a.astype(float) - b.astype(float)).max() <= most
    assert np.array_equal(other(inputs()), np.concatenate([other(row[None]) for row in inputs()]))
    assert (other.runs_on.name, other.runs_on.provider, other.runs_on.lacks) == ("onnxruntime", CPU, "")


@needs_onnx
@pytest.mark.parametrize("role", ["input", "output"])
def test_tensors_that_the_manifest_does_not_describe(role: str) -> None:
    content, variant = tiny_onnx("int8")
    wrong = dataclasses.replace(getattr(variant, role), dtype="float32")
    with pytest.raises(RunnerError, match=f"found {role} .*the manifest says"):
        OnnxRunner(content, dataclasses.replace(variant, **{role: wrong}))


@needs_onnx
def test_a_file_that_it_cannot_run_is_one_line() -> None:
    content, variant = tiny_onnx("float32")
    damaged = content.replace(b"Gemm", b"Gemn")
    assert damaged != content
    with pytest.raises(RunnerError, match=r"variant onnx_float32: onnxruntime .* cannot run it") as error:
        OnnxRunner(damaged, variant)
    assert "\n" not in str(error.value)


@needs_onnx
def test_one_that_is_too_old() -> None:
    content, variant = tiny_onnx("float32")
    with pytest.raises(RunnerError, match=r"needs onnxruntime 99\.0 or newer"):
        OnnxRunner(content, dataclasses.replace(variant, min_runtime="onnxruntime 99.0"))


@needs_onnx
def test_a_provider_that_was_asked_for_and_is_not_there(caplog: pytest.LogCaptureFixture) -> None:
    content, variant = tiny_onnx("float32")
    if CUDA in onnx_runtime.available():
        pytest.skip("this onnxruntime has CUDA")
    runner = OnnxRunner(content, variant, provider="cuda")
    assert runner.runs_on.provider == CPU
    assert "CUDAExecutionProvider was asked for" in runner.runs_on.lacks
    assert runner.runs_on.lacks in caplog.text


@needs_onnx
def test_which_provider_computed_is_read_off_a_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    found = nodes_by_provider(tiny_onnx("int8")[0], "int8")
    assert list(found) == [CPU]
    assert found[CPU] >= 3
    assert not list(tmp_path.iterdir())


@needs_onnx
def test_who_took_the_operators() -> None:
    session = open_session(tiny_onnx("int8")[0], "tiny", scheme="int8")
    found = assigned(session.native)
    assert found is None or (list(found) == [CPU] and found[CPU] >= 3)


@needs_onnx
def test_nothing_is_sent_and_nothing_left_at_home(tmp_path: Path) -> None:
    """onnxruntime since 1.29 makes ~/.cache/Microsoft with a device's number, and a thread, unless told."""
    code = (
        "import os, sys; sys.path.insert(0, sys.argv[1]); from device_helpers import tiny_onnx; "
        "from fer_edge.classifier.runner import open_runner; open_runner(*tiny_onnx('float32')); "
        "print(len(os.listdir('/proc/self/task')))"
    )
    home = {key: value for key, value in os.environ.items() if not key.startswith(("XDG_", "ORT_", "CI"))}
    home |= {"HOME": str(tmp_path), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(DATA.parent)], capture_output=True, text=True, check=False, env=home
    )
    assert done.stdout.split() == ["1"], done.stderr
    assert not [path for path in tmp_path.rglob("*") if "icrosoft" in str(path)]


def test_it_is_not_loaded_for_a_tflite_variant(tmp_path: Path) -> None:
    bundle = with_onnx(make_bundle(tmp_path / "plain", tiny("float32")), tmp_path / "both")
    code = (
        "import sys; from pathlib import Path; from fer_edge.contract.bundle import open_bundle; "
        "from fer_edge.classifier.runner import open_runner; from fer_edge import pipeline; "
        "b = open_bundle(Path(sys.argv[1])); v = b.manifest.variant(); open_runner(b.read(v.file), v); "
        "print('onnxruntime' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(bundle.path)], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["False"], done.stderr


def test_without_onnxruntime_the_other_variants_work(tmp_path: Path) -> None:
    """The bundle is tried, verified by variant, and its ONNX variants say what is missing."""
    bundle = with_onnx(make_bundle(tmp_path / "plain", tiny("float32")), tmp_path / "both")
    code = "import sys; sys.modules['onnxruntime'] = None; from fer_edge import cli; sys.exit(cli.main(sys.argv[1:]))"
    line = [sys.executable, "-c", code, "verify", "--bundle", str(bundle.path)]
    done = subprocess.run([*line, "--variant", "int8"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    done = subprocess.run([*line, "--variant", "onnx_int8"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "onnxruntime: cannot be imported" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@needs_onnx
def test_verify_and_the_trial_know_them(tmp_path: Path) -> None:
    bundle = with_onnx(make_bundle(tmp_path / "plain", tiny("float32")), tmp_path / "both")
    line = [sys.executable, "-m", "fer_edge.cli", "verify", "--json", "--bundle", str(bundle.path)]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = {row["variant"]: row for row in json.loads(done.stdout)["variants"]}
    assert rows["onnx_int8"]["reference_max_abs"] is None
    assert rows["onnx_float32"]["probability_max_abs"] < 1e-5
    assert CPU in rows["onnx_int8"]["runs_on"]
    assert "Provider" not in rows["int8"]["runs_on"]
    assert {row["lacks"] for row in rows.values()} == {""}


def test_a_file_that_leads_out_of_the_bundle_is_refused_by_the_trial(tmp_path: Path) -> None:
    """Also where no onnxruntime is installed: it may be tomorrow."""
    content, _ = tiny_onnx("float32")
    outside = content + b"\xca\x01\x00"  # an empty function behind the graph
    bundle = with_onnx(make_bundle(tmp_path / "plain", tiny("float32")), tmp_path / "both", onnx_float32=outside)
    line = [sys.executable, "-m", "fer_edge.cli", "verify", "--untrusted", str(bundle.path)]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "variant onnx_float32: has functions" in done.stderr


def test_without_onnxruntime_all_others_are_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As install.sh does at its end; a default variant is never passed over."""
    bundle = with_onnx(make_bundle(tmp_path / "plain", tiny("float32")), tmp_path / "both")
    monkeypatch.setattr(verify, "installed_version", lambda: "")
    assert verify.that_can_run(bundle.manifest) == ["float32", "int8"]
    own = dataclasses.replace(bundle.manifest, default_variant="onnx_int8")
    assert verify.that_can_run(own) == ["float32", "int8", "onnx_int8"]
    monkeypatch.setattr(verify, "installed_version", lambda: "1.31.1")
    assert len(verify.that_can_run(bundle.manifest)) == 4


def test_engines_lie_where_nobody_else_can_put_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FER_EDGE_CACHE", str(tmp_path / "cache"))
    first = engine_folder(b"network", "float16", "1.23.0")
    assert first is not None
    assert first.stat().st_mode & 0o777 == 0o700
    assert first == engine_folder(b"network", "float16", "1.23.0")
    others = [engine_folder(b"other", "float16", "1.23.0"), engine_folder(b"network", "float16", "1.24.0")]
    assert len({first, *others}) == 3
    first.chmod(0o777)
    assert engine_folder(b"network", "float16", "1.23.0") is None
    for i in range(20):
        engine_folder(b"%d" % i, "float16", "1.23.0")
    assert len(list(first.parent.iterdir())) == 16


@needs_onnx
def test_the_runtime_is_found_once() -> None:
    assert find_onnxruntime() is find_onnxruntime()
