"""The gates that need labelled data: what a variant is compared with is what the message names."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fer_host.data.faces import FaceData, columns_of
from fer_host.errors import GateError
from fer_host.evaluate import gates
from fer_host.recipe.recipe import load_recipe

N = 8


@pytest.mark.parametrize(
    ("own", "named"), [(None, "against float32 on"), (Path("own.tflite"), "against float of the tuned weights on")]
)
def test_a_gate_names_what_the_variant_is_compared_with(
    own: Path | None, named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mixed file answers as neither float file does; only its own counts where it has one."""
    images = np.zeros((N, 48, 48), dtype=np.uint8)
    rows = FaceData(source="made up", images=images, **columns_of(["neutral"] * N, ["PublicTest"] * N))

    def answers(kind: int) -> np.ndarray:
        return 5 * np.eye(15, dtype=np.float32)[np.full(N, kind)]

    def runner(content: bytes, variant: Any) -> Any:
        return lambda row: answers(0 if content == b"float" else 1)[:1]

    monkeypatch.setattr(gates.fer2013, "load", lambda path: rows)
    monkeypatch.setattr(gates, "open_runner", runner)
    monkeypatch.setattr(gates, "run_tflite", lambda path, inputs: answers(2))
    variant: Any = SimpleNamespace()
    networks = {"float32": (variant, b"float"), "mixed": (variant, b"mixed")}
    references = {} if own is None else {"mixed": own}
    with pytest.raises(GateError, match=named):
        gates.check_accuracy(load_recipe("hawqc_mbv2"), networks, Path("f.npz"), references)
