"""Every bound has its reason, is used, and has a test that sends one more, which its mark says; the contract's here."""

from __future__ import annotations

import ast
import io
import json
import lzma
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from samples import make_bundle, make_manifest

import fer_edge
from fer_edge.contract import bits1, bounds, bundle, manifest, regular
from fer_edge.contract.arrays import ArraySpec, read_arrays
from fer_edge.contract.errors import EdgeError, SchemaError
from fer_edge.contract.specs import TensorSpec

TESTS = Path(__file__).parents[1]
SOURCE = Path(bounds.__file__).read_text(encoding="utf-8")
ROWS = re.findall(r"^([A-Z][A-Z0-9_, ]+) = (.*?)  # (.*)$", SOURCE, flags=re.M)
NAMES = {name for names, _, _ in ROWS for name in names.split(", ")}


def marked() -> set[str]:
    """What some test names in its mark."""
    found: set[str] = set()
    for path in TESTS.rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("mark.bound"):
                found |= {str(ast.literal_eval(argument)) for argument in node.args}
    return found


def test_each_has_a_reason() -> None:
    assigned = {
        target.id
        for node in ast.parse(SOURCE).body
        if isinstance(node, ast.Assign)
        for target in ast.walk(node.targets[0])
        if isinstance(target, ast.Name)
    }
    assert assigned == NAMES, "one line each: NAME = value  # of what; the reason"
    assert len(NAMES) > 80
    assert [row for row in ROWS if len(row[2].split()) < 5] == []


def test_each_is_used() -> None:
    places = [Path(fer_edge.__file__).parent]
    host = TESTS.parent / "host" / "fer_host"
    places += [host] if host.is_dir() else []
    code = "".join(path.read_text() for place in places for path in place.rglob("*.py") if path.name != "bounds.py")
    assert [name for name in sorted(NAMES) if not re.search(rf"\b{name}\b", code)] == []


def test_each_is_tested() -> None:
    assert NAMES - marked() == set(), "write a test that sends one more, and mark it"
    assert marked() - NAMES == set(), "no such bound"


def test_there_are_no_others() -> None:
    """A number with such a name elsewhere: move it here, or call it what it is."""
    name = re.compile(r"^_?(MOST|MAX|LARGEST|LONGEST)_[A-Z0-9_]*(BYTES|PIXELS|CHARS|FILES|ENTRIES)\b.*= .*\d", re.M)
    root = Path(fer_edge.__file__).parent
    found = {str(path.relative_to(root)) for path in root.rglob("*.py") if name.search(path.read_text())}
    assert found == set()


# -- documents and bundles


@pytest.mark.bound("DOCUMENT_BYTES")
@pytest.mark.parametrize("more", [0, 1])
def test_documents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: int) -> None:
    path = tmp_path / "document"
    with path.open("wb") as file:
        file.truncate(bounds.DOCUMENT_BYTES + 1)  # takes no room
    with pytest.raises(OSError, match=f"more than {bounds.DOCUMENT_BYTES} bytes"):
        regular.read_regular(path)
    path.write_bytes(b"x" * (9 + more))
    if more:
        with pytest.raises(OSError, match="more than 9 bytes"):
            regular.read_regular(path, 9)
    else:
        assert regular.read_regular(path, 9) == b"x" * 9


@pytest.mark.bound("MESSAGE_CHARS")
def test_messages() -> None:
    assert str(EdgeError("x" * bounds.MESSAGE_CHARS)) == "x" * bounds.MESSAGE_CHARS
    assert " … " in str(EdgeError("x" * (bounds.MESSAGE_CHARS + 1)))
    assert len(str(EdgeError("x" * 1_000_000))) <= bounds.MESSAGE_CHARS


@pytest.mark.bound("ARRAY_TEXT_CHARS")
@pytest.mark.parametrize("more", [0, 1])
def test_text_in_arrays(more: int) -> None:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, usage=np.array(["x" * (bounds.ARRAY_TEXT_CHARS + more)]))
    expected = {"usage": ArraySpec("text", ("n",))}
    if more:
        with pytest.raises(SchemaError, match="expected at most 256"):
            read_arrays(buffer.getvalue(), expected, largest_bytes=1 << 20)
    else:
        read_arrays(buffer.getvalue(), expected, largest_bytes=1 << 20)


def document(change: Callable[[dict[str, Any]], None]) -> str:
    data = json.loads(manifest.dumps(make_manifest()[0]))
    change(data)
    return json.dumps(data)


def set_at(*path: str | int) -> Callable[[Any], Callable[[dict[str, Any]], None]]:
    def changed(value: Any) -> Callable[[dict[str, Any]], None]:
        def change(data: Any) -> None:
            for key in path[:-1]:
                data = data[key]
            data[path[-1]] = value

        return change

    return changed


def labels(n: int, chars: int = 4) -> Callable[[dict[str, Any]], None]:
    def change(data: dict[str, Any]) -> None:
        data["labels"] = [f"{i:0{chars}}" for i in range(n)]
        for variant in data["variants"]:
            variant["output"]["shape"] = [1, n]

    return change


def detector() -> Callable[[Any], Callable[[dict[str, Any]], None]]:
    """Beside the others; its files need only be there."""

    def changed(value: dict[str, Any]) -> Callable[[dict[str, Any]], None]:
        def change(data: dict[str, Any]) -> None:
            data["other_detectors"] = [{**value, "files": [data["golden"]["file"]] * 3}]

        return change

    return changed


def mtcnn(factor: float) -> dict[str, Any]:
    others = {"pnet": 0.6, "rnet": 0.7, "onet": 0.7, "nms_scale": 0.5, "nms": 0.7}
    return {"id": "mtcnn", "thresholds": {**others, "factor": factor}}


CASES = {
    "crop, most": (set_at("align", "crop_hw"), [bounds.CROP_PX[1], 96], [bounds.CROP_PX[1] + 1, 96]),
    "crop, least": (set_at("align", "crop_hw"), [96, bounds.CROP_PX[0]], [96, bounds.CROP_PX[0] - 1]),
    "mean": (set_at("input", "mean"), [bounds.NORM_MOST] * 3, [bounds.NORM_MOST + 1] * 3),
    "std, most": (set_at("input", "std"), [bounds.NORM_MOST] * 3, [bounds.NORM_MOST + 1] * 3),
    "std, least": (set_at("input", "std"), [bounds.STD_LEAST] * 3, [bounds.STD_LEAST * 0.99] * 3),
    "scale": (set_at("variants", 1, "input", "scale"), bounds.SCALE_MOST, bounds.SCALE_MOST * 1.01),
    "input": (
        set_at("variants", 1, "input", "shape"),
        [1, 96, bounds.INPUT_PX, 3],
        [1, 96, bounds.INPUT_PX + 1, 3],
    ),
    "golden": (set_at("golden", "n"), bounds.GOLDEN_INPUTS, bounds.GOLDEN_INPUTS + 1),
    "pyramid, most": (detector(), mtcnn(bounds.PYRAMID_FACTOR[1]), mtcnn(0.9999999)),
    "pyramid, least": (detector(), mtcnn(bounds.PYRAMID_FACTOR[0]), mtcnn(bounds.PYRAMID_FACTOR[0] - 0.01)),
    "file": (
        set_at("files", "golden", "decoded_size_bytes"),
        bounds.BUNDLE_FILE_BYTES,
        bounds.BUNDLE_FILE_BYTES + 1,
    ),
}


@pytest.mark.bound("CROP_PX", "NORM_MOST", "STD_LEAST", "SCALE_MOST", "INPUT_PX", "BUNDLE_FILE_BYTES")
@pytest.mark.bound("GOLDEN_INPUTS", "PYRAMID_FACTOR")
@pytest.mark.parametrize("name", CASES)
def test_numbers_in_a_manifest(name: str) -> None:
    change, most, too_much = CASES[name]

    def fits(data: dict[str, Any]) -> None:
        change(most)(data)
        if name == "crop, least":
            data["align"]["template"] = [[4.0, 2.0]] * len(data["align"]["template"])

    manifest.loads(document(fits))
    with pytest.raises(SchemaError, match=r"found|expected"):
        manifest.loads(document(change(too_much)))


@pytest.mark.bound("AXIS_MOST")
def test_a_tensors_axis() -> None:
    TensorSpec("x", (1, bounds.AXIS_MOST), "float32")
    with pytest.raises(SchemaError, match="expected sizes of 1 to 4096"):
        TensorSpec("x", (1, bounds.AXIS_MOST + 1), "float32")


@pytest.mark.bound("VARIANTS")
def test_variants() -> None:
    """Many that all name one file: each is run."""

    def variants(n: int) -> Callable[[dict[str, Any]], None]:
        def change(data: dict[str, Any]) -> None:
            own = data["variants"]
            data["variants"] = own + [{**own[0], "id": f"more{i}"} for i in range(n - len(own))]

        return change

    manifest.loads(document(variants(bounds.VARIANTS)))
    with pytest.raises(SchemaError, match="variants: found 33, expected 1 to 32"):
        manifest.loads(document(variants(bounds.VARIANTS + 1)))


@pytest.mark.bound("LABELS", "LABEL_CHARS")
def test_labels() -> None:
    manifest.loads(document(labels(bounds.LABELS)))
    with pytest.raises(SchemaError, match="expected at most 1024"):
        manifest.loads(document(labels(bounds.LABELS + 1)))
    manifest.loads(document(labels(3, bounds.LABEL_CHARS)))
    with pytest.raises(SchemaError, match="expected 1 to 64 printable characters"):
        manifest.loads(document(labels(3, bounds.LABEL_CHARS + 1)))


def files(n: int, size_bytes: int) -> Callable[[dict[str, Any]], None]:
    def change(data: dict[str, Any]) -> None:
        known = dict(data["files"])
        entry = {**known["golden"], "size_bytes": size_bytes}
        data["files"] |= {f"more/{i}": {**entry, "path": f"more/{i}"} for i in range(n - len(known))}

    return change


@pytest.mark.bound("BUNDLE_FILES", "BUNDLE_BYTES")
def test_files_of_a_bundle() -> None:
    manifest.loads(document(files(bounds.BUNDLE_FILES, 1)))
    with pytest.raises(SchemaError, match=f"found more than {bounds.BUNDLE_FILES}"):
        manifest.loads(document(files(bounds.BUNDLE_FILES + 1, 1)))
    own = len(make_manifest()[0].files)
    manifest.loads(document(files(own + 3, bounds.BUNDLE_FILE_BYTES)))
    with pytest.raises(SchemaError, match=f"in all, expected at most {bounds.BUNDLE_BYTES}"):
        manifest.loads(document(files(own + 4, bounds.BUNDLE_FILE_BYTES)))


@pytest.mark.bound("MANIFEST_BYTES")
def test_a_manifest(tmp_path: Path) -> None:
    text = manifest.dumps(make_manifest()[0])
    manifest.loads(text + " " * (bounds.MANIFEST_BYTES - len(text)))
    with pytest.raises(SchemaError, match="expected at most 4000000"):
        manifest.loads(text + " " * (bounds.MANIFEST_BYTES + 1 - len(text)))
    found = make_bundle(tmp_path / "b")
    (found.path / "manifest.json").write_text(text + " " * (bounds.MANIFEST_BYTES + 1 - len(text)))
    with pytest.raises((OSError, EdgeError)):
        bundle.open_bundle(found.path)


@pytest.mark.bound("XZ_MEMORY_BYTES")
def test_memory_to_unpack(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file may ask for a dictionary of any size; the content is nothing."""
    content = lzma.compress(b"x", format=lzma.FORMAT_XZ, filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 20}])
    assert lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=bounds.XZ_MEMORY_BYTES).decompress(content) == b"x"
    at = content.index(b"\x21\x01", 12) + 2
    asks = bytearray(content)
    asks[at] = 31  # of LZMA2: a dictionary of 192 MiB
    header = 4 * (asks[12] + 1)
    import zlib

    asks[12 + header - 4 : 12 + header] = zlib.crc32(bytes(asks[12 : 12 + header - 4])).to_bytes(4, "little")
    with pytest.raises(lzma.LZMAError, match="Memory usage limit"):
        lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=bundle._XZ_MEMORY).decompress(bytes(asks))


@pytest.mark.bound("BITS1_REGIONS")
def test_regions(monkeypatch: pytest.MonkeyPatch) -> None:
    content = bytes(64)
    regions = [bits1.Region(16 * i, (2, 2), 8, False) for i in range(4)]
    stored = bits1.encode(content, regions)
    monkeypatch.setattr(bits1, "_MOST_REGIONS", 4)
    assert bits1.decode(stored, len(content)) == content
    monkeypatch.setattr(bits1, "_MOST_REGIONS", 3)
    with pytest.raises(EdgeError):
        bits1.decode(stored, len(content))
