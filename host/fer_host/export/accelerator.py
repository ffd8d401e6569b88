"""What an accelerator's compiler takes: its form, limits, operators and commands, as data with their source.

``host/recipes/accelerators/NAME.toml`` has one of them each; where it says so was looked up on the day in ``read``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import tomllib

from fer_edge.contract import codec
from fer_edge.contract.errors import SchemaError
from fer_host.errors import RecipeError
from fer_host.files.paths import ACCELERATORS

Form = Literal["onnx", "int8"]


@dataclass(frozen=True)
class OperatorLimit:
    """Under which conditions an operator runs on the accelerator.

    Attributes:
        kernel_most: largest height or width of a window.
        stride_most: largest stride.
        fused: activations that may be fused into it; None: any.
        axes: that it may reduce, counted (batch, height, width, channels); None: any.
        note: of the source, in words: what is not checked here.
    """

    kernel_most: int | None = None
    stride_most: int | None = None
    fused: tuple[str, ...] | None = None
    axes: tuple[int, ...] | None = None
    note: str = ""


@dataclass(frozen=True)
class Accelerator:
    """One vendor's compiler.

    Attributes:
        id: NAME of ``fer-host export --for NAME``.
        title: in words.
        boards: where it is found.
        form: "onnx" (float32, the compiler quantizes it) or "int8" (tflite, quantized here).
        compiler: its name.
        version: of it that the table of operators is of.
        source: where the operators are documented.
        read: the day of that, and what was seen of it, in words.
        elsewhere: what becomes of other operators.
        tried: whether the compiler ran on such an export, and with which result, in words.
        commands: to be run in the folder, one a line; ``{id}`` is the network's name.
        operators: those that the accelerator has, by the form's own names.
        opset: of an ONNX file, least and most.
        ir_most: of an ONNX file, its largest IR version.
        per_tensor_dense: weights of dense layers have one scale, not one a channel.
        rank_most: axes of a tensor, at most.
        scripts: that the compiler needs, by file name.
        notes: what a user has to know, one a paragraph.
    """

    id: str
    title: str
    boards: str
    form: Form
    compiler: str
    version: str
    source: str
    read: str
    elsewhere: str
    tried: str
    commands: tuple[str, ...]
    operators: dict[str, OperatorLimit]
    opset: tuple[int, int] = (11, 17)
    ir_most: int = 8
    per_tensor_dense: bool = False
    rank_most: int = 4
    scripts: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def accelerator_names() -> list[str]:
    """All NAME that ``export --for`` knows."""
    return sorted(path.stem for path in ACCELERATORS.glob("*.toml"))


def load_accelerator(name: str) -> Accelerator:
    """The accelerator of this name.

    Raises:
        RecipeError: there is none, or its file does not fit.
    """
    known = accelerator_names()
    if name not in known:
        raise RecipeError(f"--for {name}: no such accelerator; expected one of {', '.join(known)}")
    path = ACCELERATORS / f"{name}.toml"
    try:
        return codec.decode(Accelerator, tomllib.loads(path.read_text(encoding="utf-8")), name)
    except (tomllib.TOMLDecodeError, SchemaError) as error:
        raise RecipeError(f"accelerator {path}: {error}") from error
