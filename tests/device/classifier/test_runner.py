"""The runner on tiny real networks: quantization, what the manifest must match, and runtimes that are too old."""

from __future__ import annotations

import dataclasses
import importlib
import subprocess
import sys
import types

import numpy as np
import pytest
from device_helpers import DATA, SIDE, tiny, tiny_variant
from hypothesis import given
from hypothesis import strategies as st

from fer_edge.classifier import runtime
from fer_edge.classifier.runner import LiteRunner
from fer_edge.contract.quantization import dequantize, quantize
from fer_edge.contract.specs import TensorSpec
from fer_edge.errors import RunnerError


def inputs(n: int = 5) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(n, SIDE, SIDE, 3)).astype(np.float32)


def test_logits_of_a_batch_are_those_of_each_alone() -> None:
    for name in ("float32", "int8"):
        runner = LiteRunner(tiny(name), tiny_variant(name))
        both = runner(inputs())
        assert both.shape == (5, 8)
        assert both.dtype == np.float32
        np.testing.assert_array_equal(both[3], runner(inputs()[3:4])[0])
        assert np.ptp(both, axis=0).max() > 0.01  # answers differ, so the comparison says something


@pytest.mark.parametrize("counts", [(2, 3, 1, 2), (20, 8, 9)])
def test_the_number_of_inputs_may_change(counts: tuple[int, ...]) -> None:
    runner = LiteRunner(tiny("int8"), tiny_variant("int8"))
    for n in counts:
        rows = inputs(n)
        np.testing.assert_array_equal(runner(rows), np.concatenate([runner(row[None]) for row in rows]))


def test_a_network_that_takes_no_batch_runs_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shapes built into a graph make the interpreter refuse another batch when it plans its memory."""
    runner = LiteRunner(tiny("int8"), tiny_variant("int8"))
    expected, asked = runner(inputs()), []

    def refuses(*_: object, input_shape: tuple[int, ...] | None = None) -> None:
        asked.append(input_shape)
        raise RunnerError("variant int8: cannot load it (num_input_elements != num_output_elements)")

    stubborn = LiteRunner(tiny("int8"), tiny_variant("int8"))
    monkeypatch.setattr("fer_edge.classifier.runner.open_interpreter", refuses)
    for _ in range(2):
        np.testing.assert_array_equal(stubborn(inputs()), expected)
    assert asked == [(5, SIDE, SIDE, 3)]  # not asked again


def test_int8_is_near_float() -> None:
    exact = LiteRunner(tiny("float32"), tiny_variant("float32"))(inputs())
    coarse = LiteRunner(tiny("int8"), tiny_variant("int8"))(inputs())
    assert np.abs(exact - coarse).max() < 6 * tiny_variant("int8").output.scale


def test_reference_kernels_agree_with_the_default_ones() -> None:
    for name in ("float32", "int8"):
        variant = tiny_variant(name)
        raw = [LiteRunner(tiny(name), variant, reference_kernels=r).raw(inputs(1)) for r in (False, True)]
        assert raw[0].dtype == (np.int8 if name == "int8" else np.float32)
        assert np.abs(raw[0].astype(float) - raw[1].astype(float)).max() <= (2 if name == "int8" else 1e-5)


@given(st.lists(st.floats(-300, 300), min_size=1, max_size=20), st.floats(1e-3, 2), st.integers(-128, 127))
def test_quantization_round_trip(values: list[float], scale: float, zero_point: int) -> None:
    spec = TensorSpec("x", (1, len(values)), "int8", scale, zero_point)
    real = np.array([values], dtype=np.float32)
    stored = quantize(real, spec)
    assert stored.dtype == np.int8
    low, high = (-128 - zero_point) * scale, (127 - zero_point) * scale
    np.testing.assert_allclose(
        dequantize(stored, spec), np.clip(real, low, high), atol=scale * 0.5 * 1.01 + 1e-4, rtol=1e-5
    )


@pytest.mark.parametrize(
    ("role", "change", "said"),
    [
        ("input", {"shape": (1, 64, 64, 3)}, "(1, 32, 32, 3)"),
        ("input", {"dtype": "float32"}, "int8"),
        ("output", {"shape": (1, 7)}, "(1, 8)"),
        ("output", {"dtype": "float32"}, "int8"),
    ],
)
def test_a_file_that_is_not_what_the_manifest_says(role: str, change: dict[str, object], said: str) -> None:
    variant = tiny_variant("int8")
    tensor = dataclasses.replace(getattr(variant, role), **change)
    with pytest.raises(RunnerError) as error:
        LiteRunner(tiny("int8"), dataclasses.replace(variant, **{role: tensor}))
    assert role in str(error.value)
    assert said in str(error.value)


def test_a_quantization_that_is_not_what_the_manifest_says() -> None:
    """A wrong scale gives wrong answers without any other sign."""
    variant = tiny_variant("int8")
    for role in ("input", "output"):
        for change in ({"scale": getattr(variant, role).scale * 1.5}, {"zero_point": -100}):
            tensor = dataclasses.replace(getattr(variant, role), **change)
            with pytest.raises(RunnerError, match=role):
                LiteRunner(tiny("int8"), dataclasses.replace(variant, **{role: tensor}))


def test_a_network_too_new_for_the_runtime_is_one_clear_line() -> None:
    variant = dataclasses.replace(tiny_variant("too_new"), min_runtime="9.9")
    with pytest.raises(RunnerError) as error:
        LiteRunner((DATA / "tiny_too_new.tflite").read_bytes(), variant)
    said = str(error.value)
    for part in ("CONV_2D", "99", str(runtime.find_runtime()), "9.9", "--variant", "fer-edge doctor"):
        assert part in said
    assert "\n" not in said


@pytest.mark.parametrize("content", [b"", b"this is text", tiny("float32")[:900], b"\0" * 500])
def test_not_a_network(content: bytes) -> None:
    with pytest.raises(RunnerError, match="variant float32"):
        LiteRunner(content, tiny_variant("float32"))


def test_info_lines_of_the_library_stay_off_stderr() -> None:
    """In a process of its own: the library says them once a process."""
    code = (
        "import sys; from fer_edge.classifier.runtime import open_interpreter; "
        "open_interpreter(open(sys.argv[1], 'rb').read(), 'x')"
    )
    line = [sys.executable, "-c", code, str(DATA / "tiny_float32.tflite")]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("name", "version", "needed", "older"),
    [
        ("ai-edge-litert", "2.3.0", "", False),
        ("ai-edge-litert", "2.3.0", "ai-edge-litert 2.3.0", False),
        ("ai-edge-litert", "2.10.0", "ai-edge-litert 2.9", False),
        ("ai-edge-litert", "2.1.0", "ai-edge-litert 2.3.0", True),
        ("tflite-runtime", "2.14.0", "ai-edge-litert 1.0", True),
        ("tensorflow", "2.19.1", "ai-edge-litert 2.3.0", False),  # cannot be compared
        ("ai-edge-litert", "unknown", "ai-edge-litert 2.3.0", False),  # a system build without metadata
    ],
)
def test_which_runtime_is_older(name: str, version: str, needed: str, older: bool) -> None:
    assert runtime.is_older(name, version, needed) is older


def test_a_runtime_older_than_the_manifest_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    found = runtime.find_runtime()
    monkeypatch.setattr(runtime, "find_runtime", lambda: runtime.LoadedRuntime(found.name, "0.1.0", found.module))
    variant = dataclasses.replace(tiny_variant("int8"), min_runtime=f"{found.name} 2.0.0")
    with pytest.raises(RunnerError, match=f"needs {found.name} 2.0.0 or newer, found {found.name} 0.1.0"):
        LiteRunner(tiny("int8"), variant)


@pytest.fixture
def fresh() -> object:
    runtime.find_runtime.cache_clear()
    yield
    runtime.find_runtime.cache_clear()


@pytest.mark.usefixtures("fresh")
def test_the_second_runtime_is_taken_where_the_first_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    stand_in = types.ModuleType("tflite_runtime.interpreter")
    monkeypatch.setitem(sys.modules, "tflite_runtime", types.ModuleType("tflite_runtime"))
    monkeypatch.setitem(sys.modules, "tflite_runtime.interpreter", stand_in)
    found = runtime.find_runtime()
    assert found.name == "tflite-runtime"
    assert found.module is stand_in


@pytest.mark.usefixtures("fresh")
def test_no_runtime_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "CANDIDATES", (("ai-edge-litert", "no_such_module_here"),))
    with pytest.raises(RunnerError, match="fer-edge doctor prints"):
        runtime.find_runtime()


def test_numpy_2_under_tflite_runtime_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    found = runtime.find_runtime()

    def refuse(**_: object) -> None:
        raise SystemError("<built-in function InterpreterWrapper> returned a result with an exception set")

    stand_in = types.SimpleNamespace(Interpreter=refuse)
    monkeypatch.setattr(runtime, "find_runtime", lambda: runtime.LoadedRuntime("tflite-runtime", "2.14.0", stand_in))  # type: ignore[arg-type]
    with pytest.raises(RunnerError, match="numpy<2"):
        runtime.open_interpreter(b"", "int8")
    assert found.name


def test_a_broken_first_runtime_is_said(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    real = importlib.import_module

    def broken(name: str) -> types.ModuleType:
        if name.startswith("ai_edge_litert"):
            raise ImportError("libfoo.so: cannot open shared object file")
        return types.ModuleType(name) if name.startswith("tflite_runtime") else real(name)

    monkeypatch.setattr(runtime.importlib, "import_module", broken)
    runtime.find_runtime.cache_clear()
    try:
        assert runtime.find_runtime().name == "tflite-runtime"
    finally:
        runtime.find_runtime.cache_clear()
    assert "ai-edge-litert is installed but cannot be imported (libfoo" in caplog.text


def spoilt(name: str, changes: dict[int, int]) -> bytes:
    """A tiny network with some bytes changed."""
    content = bytearray(tiny(name))
    for at, value in changes.items():
        content[at] = value
    return bytes(content)


def test_a_network_that_loads_and_cannot_be_run_is_refused_in_one_line() -> None:
    """Found by ``benchmarks/fuzz.py tflite``: a RuntimeError of ``invoke``, a tensor's name that is no UTF-8."""
    names = tiny("float32").replace(b"serving_default", b"serving_def\xffult")
    for content in (names, spoilt("float32", {292: 0})):
        with pytest.raises(RunnerError) as caught:
            LiteRunner(content, tiny_variant("float32"))(inputs(1))
        assert str(caught.value).startswith("variant float32: ")
        assert "\n" not in str(caught.value)
