"""ONNX networks whose weights are said to lie elsewhere: a path up, an absolute one, none, and one that is huge."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from fer_host.convert import onnx_export
from fer_host.convert.onnx_file import load_onnx
from fer_host.errors import HostError, ToolError

WEIGHTS = np.arange(12, dtype=np.float32).reshape(3, 4)


def network(**place: object) -> onnx.ModelProto:
    """A matrix product; ``place`` (location, offset, length) puts its weights into another file."""
    weights = numpy_helper.from_array(WEIGHTS, "w")
    if place:
        weights.ClearField("raw_data")
        weights.data_location = TensorProto.EXTERNAL
        for key, value in place.items():
            weights.external_data.add(key=key, value=str(value))
    inner = helper.make_node("MatMul", ["input", "w"], ["logits"])
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, n]) for name, n in (("input", 3), ("logits", 4))]
    graph = helper.make_graph([inner], "g", ends[:1], ends[1:], [weights])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def constant_elsewhere() -> onnx.ModelProto:
    """The weights are an attribute of a node, in a branch."""
    model = network()
    inside = network(location="../secret").graph
    node = helper.make_node("Constant", [], ["c"], value=inside.initializer[0])
    del inside.node[:], inside.initializer[:]
    inside.node.append(node)
    model.graph.node.append(helper.make_node("If", ["input"], ["x"], then_branch=inside, else_branch=inside))
    return model


@pytest.mark.parametrize(
    "model",
    [
        network(location="../secret"),
        network(location="/etc/passwd", length=48),
        network(location="missing.bin"),
        network(location="zero", offset=0, length=2**40),
        network(location=""),
        network(location="a\x1b[2J\nb"),
        constant_elsewhere(),
    ],
)
def test_no_other_file_is_opened(model: onnx.ModelProto, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(WEIGHTS.tobytes())
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "zero").symlink_to("/dev/zero")
    path = folder / "network.onnx"
    path.write_bytes(model.SerializeToString())
    for read in (
        load_onnx,
        lambda path: onnx_export.simplify_onnx(path, folder / "out.onnx"),
        lambda path: onnx_export.run_onnx(path, np.zeros((1, 1, 1, 3), np.float32)),
    ):
        with pytest.raises(ToolError, match="are in another file") as caught:
            read(path)
        assert str(caught.value).isprintable()
    assert sorted(file.name for file in folder.iterdir()) == ["network.onnx", "zero"]


@pytest.mark.parametrize("content", [b"", b"\xff" * 40, b"PK\x03\x04", network().SerializeToString()[:-9]])
def test_what_is_no_network(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "network.onnx").write_bytes(content)
    with pytest.raises(HostError):
        onnx_export.simplify_onnx(tmp_path / "network.onnx", tmp_path / "out.onnx")
    assert not (tmp_path / "out.onnx").exists()


def test_a_network_in_one_file_is_read(tmp_path: Path) -> None:
    onnx.save(network(), tmp_path / "network.onnx")
    assert load_onnx(tmp_path / "network.onnx") == network()
