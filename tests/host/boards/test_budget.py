"""A budget in ms: what is chosen, what is refused, and that a pruning run keeps it by a board's table."""

from __future__ import annotations

from pathlib import Path

import pytest

from fer_edge.contract import latency as schema
from fer_edge.contract.bench import Runtime
from fer_edge.contract.latency import LatencyDoc, Row
from fer_host.boards.budget import Candidate, choose, within_ms
from fer_host.boards.of_torch import operators_of_torch
from fer_host.boards.predict import network_ms
from fer_host.errors import DataError, RecipeError
from fer_host.models import MODELS
from fer_host.prune.channels import follow_channels
from fer_host.prune.surgery import slice_network


def table_of_work(tmp_path: Path) -> Path:
    """A made-up board on which every operator of MobileNetV2 takes a nanosecond a MAC (or a value)."""
    network = MODELS["mobilenet_v2"](8, 3, 96)
    rows = []
    for operator in {repr(op): op for op in operators_of_torch(network, 3, 96, "int8")}.values():
        ms = 0.01 + max(operator.macs, operator.n_values) * 1e-6
        rows.append(
            Row(operator.op, dict(operator.attrs), operator.in_shape, operator.out_shape, operator.dtype, ms, 50)
        )
    document = LatencyDoc("made up", Runtime("none", "0"), 1, 0.01, tuple(rows))
    path = tmp_path / "table.json"
    path.write_text(schema.dumps(document))
    return path


def test_the_most_accurate_that_fits_is_chosen() -> None:
    whole, pruned, small = Candidate("a", 3.0, 0.84), Candidate("b", 2.0, 0.83), Candidate("c", 1.0, 0.80)
    assert choose([whole, pruned, small], 3.5) == whole
    assert choose([whole, pruned, small], 2.5) == pruned
    assert choose([whole, pruned, small], 0.5) is None


def test_the_flagship_fits_a_generous_budget_and_nothing_fits_none(tmp_path: Path) -> None:
    table = table_of_work(tmp_path)
    assert within_ms("hawqc_mbv2", 1e6, table, quiet=True) == "hawqc_mbv2"
    with pytest.raises(RecipeError, match=r"budget of 0.001 ms on made up.*fer-host prune hawqc_mbv2_pruned --ms"):
        within_ms("hawqc_mbv2", 0.001, table, quiet=True)
    with pytest.raises(DataError, match="latency table"):
        within_ms("hawqc_mbv2", 1.0, tmp_path / "absent.json")


def test_a_smaller_network_is_predicted_to_be_faster(tmp_path: Path) -> None:
    table = schema.loads(table_of_work(tmp_path).read_bytes())
    network = MODELS["mobilenet_v2"](8, 3, 96).eval()
    channels = follow_channels(network, 3, 96)
    free = [c for c in set(channels.roots(channels.layers["features.14.conv.0.0"].outputs).tolist())]
    smaller = slice_network(network, channels, free[: len(free) // 2])
    ms = network_ms(table, 3, 96, "int8")
    assert ms(smaller) < 0.99 * ms(network)
