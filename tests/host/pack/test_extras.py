"""Which of fer-edge's extras an archive brings."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from fer_edge.contract import manifest as manifest_format
from fer_host.pack.targets import TARGETS
from fer_host.pack.wheels import EXTRAS, extras_for

BUILTIN = Path(__file__).parents[3] / "device/fer_edge/builtin/manifest.json"


def test_onnxruntime_comes_with_a_bundle_that_needs_it_and_never_to_a_jetson() -> None:
    plain = manifest_format.loads(BUILTIN.read_text())
    onnx = dataclasses.replace(plain, variants=(dataclasses.replace(plain.variants[0], format="onnx"),))
    assert {extras_for(target, plain) for target in TARGETS.values()} == {EXTRAS}
    found = {name: extras_for(target, onnx) for name, target in TARGETS.items()}
    assert found.pop("jetson-jp6") == EXTRAS
    assert set(found.values()) == {f"{EXTRAS},onnx"}
