import copy
import dataclasses
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import make_manifest

from fer_edge.contract import manifest as manifest_format
from fer_edge.contract.errors import SchemaError
from fer_edge.contract.manifest import FileEntry

TEXT = manifest_format.dumps(make_manifest()[0])
DATA = json.loads(TEXT)


def field_paths(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every object field, at any depth, as a path of keys and indices."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        if isinstance(node, dict):
            yield (*path, key)
        yield from field_paths(value, (*path, key))


FREE_KEYS = {"thresholds", "files", "tolerance_p", "tools"}  # dicts whose keys are data
PATHS = [path for path in field_paths(DATA) if path != ("schema",)]
FIXED = [path for path in PATHS if not (len(path) > 1 and path[-2] in FREE_KEYS)]
OPTIONAL = {"metrics", "layers", "scale", "zero_point", "tools", "other_detectors"}


def at(data: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        data = data[key]
    return data


def spelled(path: tuple[Any, ...]) -> str:
    return "manifest" + "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path)


def refused(data: Any) -> SchemaError:
    with pytest.raises(SchemaError) as caught:
        manifest_format.loads(json.dumps(data))
    assert "\n" not in str(caught.value)
    return caught.value


def test_round_trip_is_byte_identical() -> None:
    assert manifest_format.dumps(manifest_format.loads(TEXT)) == TEXT


PRINTABLE = st.text(max_size=8).filter(str.isprintable)


@given(
    st.builds(
        lambda mean, score, tools: (mean, score, tools),
        st.tuples(*[st.floats(-10, 10)] * 3),
        st.floats(0, 1),
        st.dictionaries(PRINTABLE.filter(bool), PRINTABLE, max_size=4),
    )
)
def test_round_trip_is_byte_identical_for_any_values(values: tuple[Any, float, dict[str, str]]) -> None:
    data = copy.deepcopy(DATA)
    data["input"]["mean"], data["detector"]["thresholds"]["score"], data["provenance"]["tools"] = values
    first = manifest_format.dumps(manifest_format.loads(json.dumps(data)))
    assert manifest_format.dumps(manifest_format.loads(first)) == first


@given(st.sampled_from([p for p in FIXED if p[-1] not in OPTIONAL]))
def test_a_missing_field_is_named(path: tuple[Any, ...]) -> None:
    data = copy.deepcopy(DATA)
    del at(data, path[:-1])[path[-1]]
    assert str(refused(data)).startswith(f"{spelled(path)}: missing")


@given(st.sampled_from(FIXED), st.text("abcxyz_", min_size=1, max_size=6).map(lambda text: "zz_" + text))
def test_an_unknown_field_is_named(path: tuple[Any, ...], name: str) -> None:
    data = copy.deepcopy(DATA)
    at(data, path[:-1])[name] = 1
    assert str(refused(data)).startswith(f"{spelled((*path[:-1], name))}: unknown field")


@given(st.sampled_from(PATHS), st.sampled_from([True, None, {"a": 1}, [[[]]], "text of the wrong kind"]))
def test_a_wrong_type_is_named(path: tuple[Any, ...], value: Any) -> None:
    data = copy.deepcopy(DATA)
    found = at(data, path)
    if isinstance(found, dict) and isinstance(value, dict):
        value = 7
    if isinstance(found, str) and isinstance(value, str):
        value = 7
    at(data, path[:-1])[path[-1]] = value
    assert refused(data).path.startswith(spelled(path))


@given(
    st.sampled_from([p for p in PATHS if type(at(DATA, p)) is float]), st.sampled_from(["NaN", "Infinity", "-Infinity"])
)
def test_numbers_are_finite(path: tuple[Any, ...], text: str) -> None:
    data = copy.deepcopy(DATA)
    at(data, path[:-1])[path[-1]] = float(text.replace("Infinity", "inf"))
    assert refused(data).path == spelled(path)


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ("fer-edge/manifest/2", "update fer-edge"),
        ("fer-edge/manifest/0", "expected 'fer-edge/manifest/1'"),
        ("fer-edge/bench/1", "expected 'fer-edge/manifest/1'"),
        (None, "expected 'fer-edge/manifest/1'"),
    ],
)
def test_another_schema_is_refused(schema: str | None, expected: str) -> None:
    error = refused({**DATA, "schema": schema})
    assert error.path == "manifest.schema"
    assert expected in str(error)


@pytest.mark.parametrize("text", [b"", b"[]", b"{", b"\xff\xfe", b"null", b"[" * 100_000])
def test_what_is_no_object_is_refused(text: bytes) -> None:
    with pytest.raises(SchemaError, match=r"^manifest: "):
        manifest_format.loads(text)


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../b", "a//b", "./a", "", "a\\b", "a\0b", ".."])
def test_no_path_leaves_the_bundle(path: str) -> None:
    with pytest.raises(SchemaError, match=r"^path: "):
        FileEntry(path, "none", 1, "a" * 64, 1, "a" * 64)


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        (("default_variant",), "int4", "manifest.default_variant"),
        (("variants", 0, "file"), "nowhere", "manifest.variants[0].file"),
        (("variants", 0, "output", "shape"), [1, 4], "manifest.variants[0].output.shape"),
        (("variants", 0, "input", "shape"), [1, 3, 96, 96], "manifest.variants[0].input.shape"),
        (("labels",), ["a", "a", "b"], "manifest.labels"),
        (("align", "template"), [[1.0, 2.0]], "manifest.align.template"),
        (("input", "std"), [0.0, 1.0, 1.0], "manifest.input.std"),
        (("detector", "files"), ["nowhere"], "manifest.detector.files[0]"),
        (("detector", "files"), [], "manifest.detector.files"),
        (("licenses", 0, "origin"), "\x1b[2J", "manifest.licenses[0].origin"),
        (("provenance", "tools"), {"\x9b2J": "1"}, "manifest.provenance.tools"),
        (("other_detectors", 0, "files"), ["nowhere"] * 3, "manifest.other_detectors[0].files[0]"),
        (("other_detectors", 0, "id"), "blazeface_short", "manifest.other_detectors[0].files"),
        (("other_detectors",), [DATA["detector"]], "manifest.other_detectors"),
        (("files", "golden", "path"), "hawqc.int8.tflite", "manifest.files"),
        (("files", "golden", "path"), "manifest.json", "manifest.files"),
        (("files", "golden", "sha256"), "A" * 64, "manifest.files.golden.sha256"),
        (("files", "golden", "size_bytes"), -1, "manifest.files.golden.size_bytes"),
        (("files", "golden", "decoded_size_bytes"), 1 << 40, "manifest.files.golden.decoded_size_bytes"),
    ],
)
def test_fields_that_contradict_each_other(path: tuple[Any, ...], value: Any, named: str) -> None:
    data = copy.deepcopy(DATA)
    at(data, path[:-1])[path[-1]] = value
    assert refused(data).path == named


@settings(max_examples=300)
@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_decode_or_are_refused(text: bytes) -> None:
    with pytest.raises(SchemaError):
        manifest_format.loads(text)


def test_variant_by_name() -> None:
    manifest = make_manifest()[0]
    assert manifest.variant().id == "int8"
    assert manifest.variant("float32").input_hw == (96, 96)
    with pytest.raises(SchemaError, match="this bundle has float32, int8"):
        manifest.variant("int4")


def test_detector_by_name() -> None:
    manifest = make_manifest()[0]
    assert manifest.find_detector().id == "blazeface_short"
    assert manifest.find_detector("mtcnn").files == ("detector/pnet", "detector/rnet", "detector/onet")
    with pytest.raises(SchemaError, match="this bundle has blazeface_short, mtcnn"):
        manifest.find_detector("blazeface_full")


def test_a_bundle_of_before_there_was_a_choice_is_still_read() -> None:
    data = copy.deepcopy(DATA)
    del data["other_detectors"]
    assert manifest_format.loads(json.dumps(data)).find_detector().id == "blazeface_short"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("align", "crop_hw"), [100000, 96]),
        (("align", "crop_hw"), [0, 96]),
        (("align", "template", 0), [1e300, 1.0]),
        (("input", "mean"), [1e300, 0.0, 0.0]),
        (("input", "std"), [1e-300, 1.0, 1.0]),
        (("input", "std"), [1e300, 1.0, 1.0]),
        (("labels", 0), "\x1b[31mhappiness"),
        (("labels", 0), ""),
        (("labels", 0), " happiness"),
        (("labels", 0), "x" * 65),
        (("labels", 0), "half \ud83d"),
        (("licenses", 0, "origin"), "half \ud83d"),
        (("variants", 0, "input", "scale"), 1e300),
        (("variants", 0, "input", "shape"), [1, 100000, 96, 3]),
        (("detector", "thresholds", "score"), float("nan")),
        (("detector", "thresholds", "score"), float("inf")),
        (("detector", "thresholds", "score"), 10**400),
    ],
)
def test_a_value_beyond_what_a_device_can_bear_is_refused(path: tuple[Any, ...], value: Any) -> None:
    data = copy.deepcopy(DATA)
    at(data, path[:-1])[path[-1]] = value
    assert str(refused(data)).isprintable()


def test_a_detector_in_two_forms() -> None:
    """Each has a name; the detector's id alone means its float files, as in a bundle that has only those."""
    alone = manifest_format.loads(TEXT)
    files = dict(alone.files)
    files["detector/blazeface.int8"] = dataclasses.replace(files["detector/blazeface"], path="detector/int8.tflite")
    both = dataclasses.replace(alone.detector, int8=("detector/blazeface.int8",))
    manifest = dataclasses.replace(alone, files=files, detector=both)
    assert manifest_format.loads(manifest_format.dumps(manifest)) == manifest
    assert both.names == ("blazeface_short", "blazeface_short.int8")
    assert manifest.find_detector("blazeface_short.int8").files == ("detector/blazeface.int8",)
    assert manifest.find_detector("blazeface_short") == manifest.find_detector() == both
    assert alone.detector.names == ("blazeface_short",)
    for unknown in ("blazeface_short.int4", "mtcnn.int8"):
        with pytest.raises(SchemaError, match=r"this bundle has blazeface_short, blazeface_short\.int8"):
            manifest.find_detector(unknown)
    with pytest.raises(SchemaError, match=r"detector\.int8"):
        dataclasses.replace(manifest, files=dict(alone.files))
    with pytest.raises(SchemaError, match="int8: found 2, expected 1"):
        dataclasses.replace(both, int8=("a", "b"))
    files["detector/blazeface.onnx"] = dataclasses.replace(files["detector/blazeface"], path="detector/b.onnx")
    three = dataclasses.replace(both, onnx=("detector/blazeface.onnx",))
    manifest = dataclasses.replace(alone, files=files, detector=three)
    assert manifest_format.loads(manifest_format.dumps(manifest)) == manifest
    assert three.names == ("blazeface_short", "blazeface_short.int8", "blazeface_short.onnx")
    assert len(three.roles) == len(set(three.roles)) == 3
    found = [manifest.find_detector(name) for name in three.names]
    assert [spec.format for spec in found] == ["tflite", "tflite", "onnx"]
    assert found[2].files == ("detector/blazeface.onnx",)
    assert found[2].names == ("blazeface_short",)
    with pytest.raises(SchemaError, match=r"detector\.onnx"):
        dataclasses.replace(alone, detector=dataclasses.replace(alone.detector, onnx=("nowhere",)))
    with pytest.raises(SchemaError, match="onnx: found 2, expected 1"):
        dataclasses.replace(both, onnx=("a", "b"))
