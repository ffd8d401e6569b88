"""``tune`` explains its choice in three lines; which variants and providers it measures."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import pytest
from device_helpers import make_bundle, tiny, with_onnx

from fer_edge.contract import bench as schema
from fer_edge.contract.bench import BenchDoc, Blocks, Runtime, StageTiming
from fer_edge.errors import UsageError
from fer_edge.profiler import sweep, tune
from fer_edge.profiler.report import as_table
from fer_edge.profiler.tune import explain
from fer_edge.profiler.workloads import Subject
from fer_edge.setting.setting import Setting, setting_for

LITERT = Runtime("ai-edge-litert", "2.3.0")
CPU, GPU = (Runtime("onnxruntime", "1.23.0", f"{name}ExecutionProvider") for name in ("CPU", "Tensorrt"))
ACCURACY = {"int8": 0.841, "float32": 0.837}


def row(variant: str, runtime: Runtime, p50_ms: float, threads: int = 1) -> BenchDoc:
    timing = StageTiming(p50_ms, p50_ms, p50_ms, p50_ms, p50_ms, (p50_ms, p50_ms))
    return BenchDoc(
        board="a board",
        cpu="a cpu",
        governor="unknown",
        threads=threads,
        runtime=runtime,
        bundle_sha256="0" * 64,
        variant=variant,
        n=2,
        warmup_n=0,
        stages={"total": timing},
        fps=1.0,
        frame_age_ms={},
        memory=schema.Memory(1, 1),
        throttled=schema.Throttled("unknown", "unknown"),
        tainted=(),
        emulated=False,
    )


def test_the_choice_in_three_lines() -> None:
    rows = [row("int8", LITERT, 4.1), row("float32", LITERT, 9.0), row("onnx_int8", CPU, 6.0)]
    assert explain(rows, Setting("int8", 1, "blazeface_short"), ACCURACY, 0.831) == (
        "taken: int8 on ai-edge-litert 2.3.0, 1 thread(s): 4.1 ms a frame, 84.1%",
        "next: onnx_int8 on onnxruntime 1.23.0 on CPU, 1 thread(s): 6.0 ms a frame, accuracy not measured",
        "why: the fastest beyond doubt, of 3 variant(s) on 2 runtime(s), all within the floor of 83.1%",
    )


def test_the_default_stays_where_nothing_is_faster_beyond_doubt() -> None:
    rows = [row("onnx_fp16", GPU, 4.0), row("int8", LITERT, 4.05)]
    lines = explain(rows, Setting("int8", 1, "blazeface_short"), {}, None)
    assert lines[1].startswith("next: onnx_fp16 on onnxruntime 1.23.0 on Tensorrt")
    assert lines[2] == (
        "why: nothing is faster beyond doubt than int8, of 2 variant(s) on 2 runtime(s), "
        "no variant has a measured accuracy"
    )


@pytest.mark.parametrize("verdict", ["slower", "cannot tell"])
def test_what_may_be_as_fast_is_named(verdict: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the single timings, where both have them; the table beside the three lines says the same."""
    blocks = {"total": Blocks(1, (0.1, 0.2), (4.0, 4.0), (4.0, 4.0))}
    rows = [row("int8", LITERT, 4.1), row("onnx_int8", CPU, 4.2), row("float32", LITERT, 9.0)]
    rows = [dataclasses.replace(each, blocks=blocks) for each in rows]

    def judged(_: BenchDoc, other: BenchDoc, **__: object) -> object:
        return SimpleNamespace(verdict=verdict if other.variant == "onnx_int8" else "slower")

    monkeypatch.setattr(tune, "compare", judged)
    why = explain(rows, Setting("int8", 1, "blazeface_short"), ACCURACY, 0.831)[2]
    said = "the least median, onnx_int8 on onnxruntime 1.23.0 on CPU, 1 thread(s), may be as fast, of"
    assert why.startswith("why: the fastest beyond doubt, of" if verdict == "slower" else f"why: {said}")


def test_one_variant_alone() -> None:
    lines = explain([row("int8", LITERT, 4.1)], Setting("int8", 1, "blazeface_short"), ACCURACY, None)
    assert lines[1] == "next: nothing else could be measured"


def test_a_provider_is_swept_for_onnx_variants_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = with_onnx(make_bundle(tmp_path / "plain", tiny("float32")), tmp_path / "both")
    monkeypatch.setattr(sweep, "providers_here", lambda: ["tensorrt", "cpu"])
    base = Subject(bundle, setting_for(bundle.manifest, threads=1))
    found = [(s.setting.variant, s.setting.provider) for s in sweep.combinations("variant,provider", base, "model")]
    onnx = [(name, provider) for name in ("onnx_float32", "onnx_int8") for provider in ("tensorrt", "cpu")]
    assert found == [("float32", None), ("int8", None), *onnx]
    with pytest.raises(UsageError, match="provider=cuda"):
        sweep.combinations("provider=cuda", base, "model")


def test_a_fall_back_is_in_the_table() -> None:
    lacks = "CUDAExecutionProvider was meant and did not start; it runs on CPUExecutionProvider"
    document = dataclasses.replace(row("onnx_fp16", dataclasses.replace(CPU, lacks=lacks), 4.0), tainted=(lacks,))
    assert "onnxruntime 1.23.0 on CPU, 1 thread(s)" in as_table(document)
    assert f"tainted: {lacks}" in as_table(document)
    assert schema.loads(schema.dumps(document)) == document
