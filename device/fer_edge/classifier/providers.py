"""Which of onnxruntime's execution providers a network is given to, and whether that is what it was meant for. Pure.

A provider is a back end: TensorRT and CUDA compute on an NVIDIA GPU, CPU everywhere. onnxruntime itself goes back to
the CPU without an error where another cannot start; what is decided and said here is ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fer_edge.contract.manifest import Scheme

TENSORRT, CUDA, CPU = "TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"
NAMES = {"tensorrt": TENSORRT, "cuda": CUDA, "cpu": CPU}  # as a setting says them
ON_GPU = (TENSORRT, CUDA)  # the faster one first


@dataclass(frozen=True)
class Choice:
    """What to try, the best first and the CPU last; ``lacks`` says what this board has and onnxruntime does not use."""

    order: tuple[str, ...]
    lacks: str = ""


def choose(available: Sequence[str], has_gpu: bool, scheme: Scheme, wanted: str | None = None) -> Choice:
    """The providers for one network on this board.

    Args:
        available: those of the installed onnxruntime (``get_available_providers``).
        has_gpu: the board has an NVIDIA GPU.
        scheme: the network's numbers. An int8 one stays on the CPU: TensorRT takes only grids around zero, ours are
            tflite's; CUDA has no int8 kernels and would compute it in float, between conversions.
        wanted: one of NAMES, where somebody chose; None takes the best.
    """
    if wanted is not None:
        provider = NAMES[wanted]
        lacks = "" if provider in available else f"{provider} was asked for, this onnxruntime has {_listed(available)}"
        return Choice(tuple(name for name in dict.fromkeys((provider, CPU)) if name in available or name == CPU), lacks)
    if not has_gpu or scheme == "int8":
        return Choice((CPU,))
    found = tuple(name for name in ON_GPU if name in available)
    lacks = "" if found else f"this board has an NVIDIA GPU, this onnxruntime only {_listed(available)}"
    return Choice((*found, CPU), lacks)


def runnable(available: Sequence[str], has_gpu: bool) -> tuple[str, ...]:
    """The names of NAMES that could compute here, the CPU last: what ``tune`` compares."""
    return tuple(name for name, provider in NAMES.items() if provider == CPU or (has_gpu and provider in available))


def fell_back(
    choice: Choice, used: Sequence[str], problem: str = "", operators: Mapping[str, int] | None = None
) -> str:
    """Why a network does not run where it was meant to; "" where it does.

    Args:
        choice: what was tried.
        used: providers of the opened session, the first is the one that computes.
        problem: what the first one said, where it could not start.
        operators: how many each provider took; None where that is not known.
    """
    first = choice.order[0]
    if used and used[0] == first:
        if operators and first not in operators:
            taken = ", ".join(f"{short(name)} {n}" for name, n in operators.items())
            return f"{first} started and computes none of the operators: {taken}"
        return choice.lacks
    now = used[0] if used else CPU
    return f"{first} was meant and did not start{f' ({problem})' if problem else ''}; it runs on {now}"


def short(provider: str) -> str:
    """``CUDAExecutionProvider`` as people say it."""
    return provider.removesuffix("ExecutionProvider")


def _listed(available: Sequence[str]) -> str:
    usable = [short(name) for name in available if name in NAMES.values()]
    return ", ".join(usable) or "no provider"
