"""What the manifest says of a mixed network's layers."""

from __future__ import annotations

from fer_edge.contract.manifest import Layer
from fer_host.bundle.assemble import tuned_bits


def test_bits_go_by_the_whole_number_of_an_operator() -> None:
    """DDAMFN's mixed network has more than 1,000 operators: 1005 is neither 100 nor 005."""
    names = {5: "005.CONV_2D", 100: "100.CONV_2D", 101: "101.MUL", 1005: "1005.CONV_2D"}
    layers = {index: Layer(name, name.partition(".")[2], "int8", 8.0, 9) for index, name in names.items()}
    found = tuned_bits(layers, {5: 2.5, 100: 3.0, 1005: 4.123456})
    assert [layer.effective_bits for layer in found] == [2.5, 3.0, 8.0, 4.1235]
    assert [layer.name for layer in found] == list(names.values())
