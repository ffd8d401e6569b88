"""Reference measurements: the files that are there obey the rule, and the rule refuses what it should."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from fer_edge.contract import reference
from fer_edge.contract.bench import BenchDoc
from fer_edge.contract.errors import SchemaError

FOLDER = Path(__file__).parents[2] / "benchmarks" / "reference"
FILES = sorted(FOLDER.glob("*.json"))


def test_there_is_one() -> None:
    assert FILES


@pytest.fixture
def entry() -> BenchDoc:
    return reference.loads(FILES[0].read_bytes()).entries[0]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_file_obeys(path: Path) -> None:
    document = reference.loads(path.read_bytes())
    assert reference.dumps(document) == path.read_text()
    assert document.entries
    assert {reference.file_name(found) for found in document.entries} == {path.name}


def test_the_rule(entry: BenchDoc) -> None:
    assert reference.why_not(entry) == ""
    assert entry.precision is not None
    for changes, words in (
        ({"emulated": True}, "emulated"),
        ({"n": 50}, "n = 50"),
        ({"precision": dataclasses.replace(entry.precision, reached=0.2)}, "20.0%"),
        ({"precision": dataclasses.replace(entry.precision, warmup_settled=False)}, "settled"),
        ({"precision": None}, "older"),
        ({"tainted": ("throttled while measuring",)}, "full clock"),
    ):
        assert words in reference.why_not(dataclasses.replace(entry, **changes))  # type: ignore[arg-type]
    with pytest.raises(SchemaError, match="twice"):
        reference.ReferenceDoc(entry.board, entry.cpu, (entry, entry))
    with pytest.raises(SchemaError, match="file's own"):
        reference.ReferenceDoc("Pi 4", entry.cpu, (entry,))
