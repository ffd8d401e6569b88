"""Which provider a network gets, by tables: there is no GPU where these run."""

from __future__ import annotations

from typing import Any

import pytest

from fer_edge.classifier.providers import CPU, CUDA, TENSORRT, Choice, choose, fell_back, runnable

JETPACK = (TENSORRT, CUDA, CPU)  # NVIDIA's wheel
PYPI = ("AzureExecutionProvider", CPU)


@pytest.mark.parametrize(
    ("available", "has_gpu", "scheme", "order"),
    [
        (JETPACK, True, "float16", (TENSORRT, CUDA, CPU)),
        (JETPACK, True, "float32", (TENSORRT, CUDA, CPU)),
        ((CUDA, CPU), True, "float16", (CUDA, CPU)),
        (JETPACK, True, "int8", (CPU,)),  # tflite's grids are not around zero
        (JETPACK, False, "float16", (CPU,)),  # the wheel is there, the GPU is not
        (PYPI, False, "float32", (CPU,)),
    ],
)
def test_the_order_and_nothing_is_lacking(available: Any, has_gpu: bool, scheme: Any, order: tuple[str, ...]) -> None:
    assert choose(available, has_gpu, scheme) == Choice(order)


def test_a_gpu_that_this_onnxruntime_cannot_use_is_said() -> None:
    found = choose(PYPI, True, "float16")
    assert found.order == (CPU,)
    assert "NVIDIA GPU" in found.lacks
    assert "only CPU" in found.lacks
    assert fell_back(found, [CPU]) == found.lacks


@pytest.mark.parametrize(("wanted", "order"), [("cuda", (CUDA, CPU)), ("tensorrt", (TENSORRT, CPU)), ("cpu", (CPU,))])
def test_what_was_asked_for_goes_first(wanted: str, order: tuple[str, ...]) -> None:
    assert choose(JETPACK, True, "int8", wanted) == Choice(order)


def test_what_was_asked_for_and_is_not_there() -> None:
    found = choose(PYPI, True, "float16", "cuda")
    assert found.order == (CPU,)
    assert CUDA in found.lacks
    assert "this onnxruntime has CPU" in found.lacks


@pytest.mark.parametrize(
    ("used", "problem", "said"),
    [
        ([TENSORRT, CUDA, CPU], "", ""),
        ([CUDA, CPU], "libnvinfer.so.10 not found", "TensorrtExecutionProvider was meant and did not start (libnv"),
        ([CPU], "", "TensorrtExecutionProvider was meant and did not start; it runs on CPUExecutionProvider"),
    ],
)
def test_a_fall_back_is_never_silent(used: list[str], problem: str, said: str) -> None:
    found = fell_back(choose(JETPACK, True, "float16"), used, problem)
    assert found.startswith(said)
    assert bool(found) == bool(said)


def test_one_that_started_and_computes_nothing() -> None:
    found = fell_back(choose(JETPACK, True, "float16"), JETPACK, "", {CPU: 66})
    assert found == "TensorrtExecutionProvider started and computes none of the operators: CPU 66"
    assert fell_back(choose(JETPACK, True, "float16"), JETPACK, "", {TENSORRT: 1, CPU: 2}) == ""


def test_what_tune_compares() -> None:
    assert runnable(JETPACK, True) == ("tensorrt", "cuda", "cpu")
    assert runnable(JETPACK, False) == runnable(PYPI, True) == ("cpu",)
