"""Operators cut out of networks, tables of their times, and what is predicted from them."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import nn

from fer_edge.contract.bench import Runtime
from fer_edge.contract.errors import BundleError
from fer_edge.contract.latency import EMPTY, LatencyDoc, Row, load_probes
from fer_host.boards import predict
from fer_host.boards.of_tflite import operators_of_tflite
from fer_host.boards.of_torch import operators_of_torch
from fer_host.boards.operators import Operator
from fer_host.boards.probes import write_probes
from fer_host.boards.times import OperatorTimes, kind_of, operator_of
from fer_host.errors import DataError
from fer_host.models import MODELS

TINY = Path(__file__).parents[2] / "device" / "data"


def conv(h: int, cin: int, cout: int, kernel: str = "1x1") -> Operator:
    return Operator("CONV_2D", (("kernel", kernel), ("stride", "1x1")), (1, h, h, cin), (1, h, h, cout), "int8")


def price(operator: Operator) -> float:
    """A made-up board: ms for work, values and weights."""
    return 0.002 + operator.macs * 4e-7 + operator.n_values * 1e-7 + operator.n_weights * 5e-8


def table(operators: list[Operator], overhead: float = 0.01) -> LatencyDoc:
    rows = tuple(Row(o.op, dict(o.attrs), o.in_shape, o.out_shape, o.dtype, price(o) + overhead, 50) for o in operators)
    return LatencyDoc("board", Runtime("litert", "1"), 1, overhead, rows)


def predicted(board: LatencyDoc, operators: list[Operator]) -> predict.Prediction:
    return predict.predict(OperatorTimes(board), operators, predict.Fit(1.0, board.overhead_ms))


MEASURED = [conv(h, a, b) for h in (24, 12, 6) for a in (16, 48, 96) for b in (16, 64, 128)]


def test_measured_operators_count_as_measured() -> None:
    found = predicted(table(MEASURED), MEASURED[:4])
    assert found.ms == pytest.approx(0.01 + sum(map(price, MEASURED[:4])))
    assert (found.n_exact, found.n_estimated, found.unknown) == (4, 0, ())


def test_others_are_estimated_from_their_kind() -> None:
    new = [conv(24, 30, 100), conv(12, 70, 20), conv(6, 96, 96)]
    found = predicted(table(MEASURED), new)
    assert found.n_estimated == 3
    assert found.ms == pytest.approx(0.01 + sum(map(price, new)), rel=0.03)


def test_fewer_channels_never_cost_more() -> None:
    board = table(MEASURED)
    times = [predicted(board, [conv(12, c, 2 * c)]).ms for c in range(16, 90, 4)]
    assert times == sorted(times)


def test_what_a_table_does_not_know_is_named() -> None:
    found = predicted(table(MEASURED), [Operator("SOFTMAX", (), (1, 8), (1, 8), "int8")])
    assert found.unknown == ("SOFTMAX int8",)
    with pytest.raises(DataError, match="has no CONV_2D float32"):
        predict.network_ms(table(MEASURED), 3, 8, "float32")(nn.Conv2d(3, 8, 1))


def test_fit_on_other_networks() -> None:
    pairs = [(s, 1.3 * s + 0.2) for s in (0.5, 1.0, 2.0, 4.0)]
    found = predict.fit(pairs)
    assert (found.scale, found.offset_ms) == (pytest.approx(1.3), pytest.approx(0.2))
    assert predict.fit(pairs[:1]).scale == pytest.approx(0.85 / 0.5)
    assert predict.fit([]) == predict.Fit(1.0, 0.0)
    assert predict.fit([(1.0, 1.0), (2.0, 1.5), (3.0, 4.0)]).offset_ms >= 0


@pytest.mark.parametrize("tile", [1, 16, 64])
def test_the_width_of_a_boards_tiles_is_found_in_its_table(tile: int) -> None:
    def tiled(operator: Operator) -> Operator:
        out = -(-operator.out_shape[-1] // tile) * tile
        return Operator(operator.op, operator.attrs, operator.in_shape, (*operator.out_shape[:3], out), operator.dtype)

    measured = [conv(h, a, b) for h in (24, 12, 6) for a in (16, 48) for b in (8, 24, 56, 72, 96, 136)]
    rows = [Row(o.op, dict(o.attrs), o.in_shape, o.out_shape, o.dtype, price(tiled(o)) + 0.01, 50) for o in measured]
    times = OperatorTimes(LatencyDoc("board", Runtime("litert", "1"), 1, 0.01, tuple(rows)))
    assert times.tile(kind_of(measured[0])) == tile
    for new in (conv(12, 48, 40), conv(24, 16, 110)):
        assert times.estimated(new) == pytest.approx(price(tiled(new)), rel=0.05)


def test_a_small_table_says_nothing_about_tiles() -> None:
    assert OperatorTimes(table(MEASURED[:4])).tile(kind_of(MEASURED[0])) == 1


def test_probes_are_cut_out_and_run(tmp_path: Path) -> None:
    """Each file is loaded by the interpreter and computes with the network's own shapes, types and weights."""
    from ai_edge_litert.interpreter import Interpreter

    sources = [("tiny float32", TINY / "tiny_float32.tflite"), ("tiny int8", TINY / "tiny_int8.tflite")]
    document = write_probes(sources, tmp_path / "probes")
    assert load_probes((tmp_path / "probes" / "probes.json").read_bytes()) == document
    assert document.rows[0].op == EMPTY
    assert {row.dtype for row in document.rows[1:]} == {"float32", "int8"}
    for row in document.rows:
        interpreter = Interpreter(model_path=str(tmp_path / "probes" / row.file))
        interpreter.allocate_tensors()
        interpreter.invoke()
        if row.op != EMPTY:
            assert tuple(interpreter.get_input_details()[0]["shape"]) == row.in_shape
            assert tuple(interpreter.get_output_details()[0]["shape"]) == row.out_shape
    for name, path in sources:
        dtype = name.partition(" ")[2]
        wanted = operators_of_tflite(path)
        assert wanted
        for operator in wanted:
            assert operator in [operator_of(_as_row(row)) for row in document.rows], f"{operator} of {dtype}"
    n_times = sum(row.count for row in document.rows if row.share == 1.0 and row.op != EMPTY)
    assert n_times == sum(len(operators_of_tflite(path)) for _, path in sources)


def _as_row(probe: object) -> Row:
    fields = {name: getattr(probe, name) for name in ("op", "attrs", "in_shape", "out_shape", "dtype")}
    return Row(**fields, ms_p50=1.0, n=1)


def test_a_folder_that_is_not_of_probes_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "kept.txt").write_text("mine")
    with pytest.raises(BundleError, match="older probes"):
        write_probes([("tiny", TINY / "tiny_int8.tflite")], tmp_path)
    assert (tmp_path / "kept.txt").read_text() == "mine"


def test_torch_shapes_become_the_operators_of_the_file() -> None:
    """MobileNetV2, whose file is known: 35 convolutions, 17 depthwise, 10 additions, mean, dense layer; 5 paddings."""
    network = MODELS["mobilenet_v2"](8, 3, 96)
    network.train()
    found = operators_of_torch(network, 3, 96, "int8")
    assert network.training
    counted = {op: sum(o.op == op for o in found) for op in {o.op for o in found}}
    assert counted == {
        "CONV_2D": 35, "DEPTHWISE_CONV_2D": 17, "ADD": 10, "MEAN": 1, "FULLY_CONNECTED": 1
    }  # fmt: skip
    stem = next(operator for operator in found if operator.op == "CONV_2D")
    assert (stem.in_shape, stem.out_shape) == ((1, 96, 96, 3), (1, 48, 48, 32))
    assert dict(stem.attrs) == {"kernel": "3x3", "stride": "2x2", "padding": "valid", "activation": "relu6", "pad": "1"}
    assert sum("pad" in dict(operator.attrs) for operator in found) == 5


@pytest.mark.parametrize("name", ["larn", "ddamfn", "shufflenet_ldam", "lfer_ldl"])
def test_every_network_of_the_zoo_has_operators(name: str) -> None:
    channels, side = (1, 48) if name == "larn" else (3, 112)
    found = operators_of_torch(MODELS[name](8, channels, side), channels, side, "float32")
    assert sum(operator.op == "CONV_2D" for operator in found) > 5
    assert all(operator.macs > 0 for operator in found)
