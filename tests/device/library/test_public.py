"""What ``import fer_edge`` names: the list and the signatures. Who changes one breaks programs."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import fer_edge

ERRORS = tuple(
    f"{kind}Error"
    for kind in "Edge Bundle Config Image Landmark Runner Schema Source Usage Verify".split()  # noqa: SIM905
)
NAMES = (
    *("open_reader", "open_source", "Reader", "Frame", "Reading", "Face", "annotate", "blur", "TrackSettings"),
    *("JsonlSink", "MqttSink", "reading_schema"),
)
SIGNATURES = {
    "open_reader": "(bundle: 'str | os.PathLike[str] | None' = None, *, variant: 'str | None' = None, "
    "threads: 'int | None' = None, detector: 'str | None' = None, min_score: 'float | None' = None, "
    "tiles: 'Sequence[int] | None' = None, labels: 'str | None' = None, "
    "baseline: 'str | os.PathLike[str] | None' = None) -> 'Reader'",
    "open_source": "(uri: 'str | os.PathLike[str] | None' = None, *, realtime: 'bool' = False, loop: 'bool' = False, "
    "rate: 'float | None' = None, reconnect: 'bool' = False) -> 'Frames'",
    "Reader.read": "(self, picture: 'Picture', *, order: 'Order' = 'rgb', faces: 'Iterable[Given] | None' = None) "
    "-> 'Reading'",
    "Reader.read_batch": "(self, pictures: 'Iterable[Picture]', *, order: 'Order' = 'rgb') -> 'list[Reading]'",
    "Reader.read_crops": "(self, crops: 'Iterable[NDArray[Any]]', *, order: 'Order' = 'rgb') -> 'list[Face]'",
    "Reader.follow": "(self, frames: 'Frames | Iterable[FrameLike]', *, order: 'Order' = 'rgb', "
    "track: 'TrackSettings | None' = None, on_change: 'OnChange | None' = None) -> 'Iterator[Reading]'",
    "Reader.afollow": "(self, frames: 'Frames | Iterable[FrameLike] | AsyncIterable[FrameLike]', *, "
    "order: 'Order' = 'rgb', track: 'TrackSettings | None' = None, on_change: 'OnChange | None' = None) "
    "-> 'AsyncIterator[Reading]'",
    "Reader.close": "(self) -> 'None'",
    "Reading.to_dict": "(self) -> 'dict[str, Any]'",
    "Reading.inside": "(self, face: 'Face') -> 'tuple[int, int, int, int] | None'",
    "annotate": "(picture: 'Picture | None', reading: 'Reading', *, order: 'Order' = 'rgb', blur: 'bool' = False) "
    "-> 'NDArray[np.uint8]'",
    "blur": "(picture: 'Picture | None', reading: 'Reading', *, order: 'Order' = 'rgb') -> 'NDArray[np.uint8]'",
    "Frame": "(image: 'NDArray[Any]', index: 'int' = 0, t_capture_s: 'float' = <factory>, source: 'str' = 'program', "
    "scale: 'float' = 1.0, original_hw: 'tuple[int, int] | None' = None, t_media_s: 'float | None' = None, "
    "can_be_late: 'bool' = False, damaged: 'bool | None' = None) -> None",
    "Face": "(box: 'Box', landmarks: 'dict[str, tuple[float, float]]', score: 'float', label: 'str', "
    "probabilities: 'dict[str, float]', track: 'int | None' = None, uncertain: 'bool | None' = None, "
    "zone: 'str | None' = None, shift: 'dict[str, float] | None' = None) -> None",
    "JsonlSink": "(path: 'str | os.PathLike[str]', *, strict: 'bool' = True) -> 'None'",
    "MqttSink": "(reader: 'Reader', host: 'str' = 'localhost', *, port: 'int' = 0, username: 'str' = '', "
    "password_file: 'str | os.PathLike[str]' = '', tls: 'bool' = False, ca_file: 'str | os.PathLike[str]' = '', "
    "topic_prefix: 'str' = 'fer-edge', discovery: 'bool' = True, device_id: 'str' = '', device_name: 'str' = '', "
    "instance: 'str' = '', interval_s: 'float' = 1.0) -> 'None'",
    "JsonlSink.publish": "(self, reading: 'Reading') -> 'None'",
    "MqttSink.publish": "(self, reading: 'Reading') -> 'None'",
    "reading_schema": "() -> 'dict[str, Any]'",
}
MEMBERS = {
    "Reader": "labels bundle model read read_batch read_crops follow afollow close",
    "Reading": "faces width height image source index t_capture_s t_media_s age_s stage_ms damaged left_out "
    "inside to_dict",
    "JsonlSink": "dropped publish close",
    "MqttSink": "connected dropped topic publish close",
}


def _of(dotted: str) -> object:
    found: object = fer_edge
    for name in dotted.split("."):
        found = getattr(found, name)
    return found


def test_the_names() -> None:
    assert sorted(fer_edge.__all__) == sorted([*NAMES, *ERRORS])
    assert set(fer_edge.__all__) <= set(dir(fer_edge))
    for name in fer_edge.__all__:
        assert getattr(fer_edge, name).__doc__, name


def test_the_stub_names_the_same_from_the_same_places() -> None:
    source = Path(fer_edge.__file__).with_suffix(".pyi").read_text(encoding="utf-8")
    stub = {
        alias.asname: (node.module or "").removeprefix("fer_edge.")
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert stub == fer_edge._PUBLIC


def test_the_signatures() -> None:
    assert {name: str(inspect.signature(_of(name))) for name in SIGNATURES} == SIGNATURES  # type: ignore[arg-type]


def test_the_members() -> None:
    for name, members in MEMBERS.items():
        assert [each for each in vars(_of(name)) if not each.startswith("_")] == members.split(), name


def test_every_error_is_an_edge_error() -> None:
    assert all(issubclass(getattr(fer_edge, name), fer_edge.EdgeError) for name in ERRORS)


def test_an_unknown_name_is_one() -> None:
    assert not hasattr(fer_edge, "open_raeder")


def test_the_import_loads_neither_numpy_nor_opencv() -> None:
    code = "import sys, fer_edge; dir(fer_edge); print({'numpy', 'cv2', 'ai_edge_litert'} & set(sys.modules) or 'none')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "none\n"
