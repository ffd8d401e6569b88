"""Videos in a program: numbers, calm labels, events, the event loop, sources, sinks, and the JSON line's schema."""

from __future__ import annotations

import asyncio
import json
import subprocess
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from web_helpers import until

import fer_edge
from fer_edge.contract.reading import load_line
from fer_edge.errors import ImageError, SourceError, UsageError
from fer_edge.library.changes import changes
from fer_edge.types import RgbImage

Edge = Callable[..., subprocess.CompletedProcess[str]]
ROOT = Path(__file__).parents[3]
FACES = "synthetic://?n=12&faces=1"


def timed(pictures: list[RgbImage]) -> Iterator[fer_edge.Frame]:
    """Frames of a clip of 10 a second: the time between them is not this machine's."""
    return (fer_edge.Frame(picture, i, t_media_s=i / 10) for i, picture in enumerate(pictures))


class Events:
    def __init__(self) -> None:
        self.seen: list[tuple[str, int | None, int]] = []

    def __call__(self, what: str, face: fer_edge.Face, reading: fer_edge.Reading) -> None:
        self.seen.append((what, face.track, reading.index))


# -- what follow gives -----------------------------------------------------------------------------------------------


def test_a_face_keeps_its_number_and_its_picture(reader: fer_edge.Reader, moving: list[RgbImage]) -> None:
    found = list(reader.follow(timed(moving[:8])))
    assert [face.track for reading in found for face in reading.faces] == [1] * 8
    assert all(face.uncertain is not None for reading in found for face in reading.faces)
    assert [reading.index for reading in found] == list(range(8))
    np.testing.assert_array_equal(found[3].image, moving[3])
    assert found[3].t_media_s == pytest.approx(0.3)
    assert found[3].age_s >= 0
    assert "Face 1(" in repr(found[0])


def test_events(reader: fer_edge.Reader, moving: list[RgbImage]) -> None:
    """It comes, it goes a moment after it was seen last, another one comes; with the frames all are gone."""
    events = Events()
    for _ in reader.follow(timed(moving), on_change=events):
        pass
    came_and_went = [event for event in events.seen if event[0] != "label"]
    assert [(what, track) for what, track, _ in came_and_went] == [("came", 1), ("went", 1), ("came", 2), ("went", 2)]
    assert came_and_went[0][2] == 0
    assert came_and_went[2][2] == 12


def test_changes_of_a_label() -> None:
    happy, sad = (fer_edge.Face((0, 0, 9, 9), {}, 1.0, label, {label: 1.0}, 1) for label in ("happy", "sad"))
    assert changes({1: happy}, {1: sad}) == [("label", sad)]
    assert changes({1: happy}, {1: happy}) == []
    assert changes({1: happy}, {2: sad}) == [("went", happy), ("came", sad)]
    assert changes({}, {}) == []


def test_an_error_of_the_program_s_own_comes_out(reader: fer_edge.Reader, moving: list[RgbImage]) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(reader.follow(timed(moving), on_change=fail))

    def frames() -> Iterator[RgbImage]:
        yield moving[0]
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(reader.follow(frames()))


def test_arrays_of_opencv_are_turned_and_timed(reader: fer_edge.Reader, moving: list[RgbImage]) -> None:
    readings = list(reader.follow((picture[:, :, ::-1] for picture in moving[:3]), order="bgr"))
    np.testing.assert_array_equal(readings[0].image, moving[0])
    assert [reading.index for reading in readings] == [0, 1, 2]
    assert readings[0].t_capture_s < readings[2].t_capture_s
    assert readings[0].t_media_s is None
    assert readings[0].faces[0].label == next(iter(reader.follow(timed(moving)))).faces[0].label


def test_two_videos_at_once_have_their_own_numbers(reader: fer_edge.Reader, moving: list[RgbImage]) -> None:
    one, other = reader.follow(timed(moving[:4])), reader.follow(timed(moving[:4]))
    for a, b in zip(one, other, strict=True):
        assert a.faces == b.faces
        assert a.faces[0].track == 1


def test_tracking_may_be_switched_off(reader: fer_edge.Reader, moving: list[RgbImage]) -> None:
    (reading,) = reader.follow(timed(moving[:1]), track=fer_edge.TrackSettings(enabled=False))
    assert reading.faces[0].track is None


# -- sources ---------------------------------------------------------------------------------------------------------


def test_the_command_reads_a_video_alike(
    edge: Edge, reader: fer_edge.Reader, bundle_path: Path, tmp_path: Path
) -> None:
    """Drawn faces, and a folder of photos, where nothing is tracked and small faces are looked for."""
    with fer_edge.open_source(FACES) as frames:
        (tmp_path / "images").mkdir()
        for frame in list(frames)[::6]:
            cv2.imwrite(str(tmp_path / f"images/{frame.index}.png"), frame.image[:, :, ::-1])
    for uri in (FACES, f"images://{tmp_path}/images"):
        out = tmp_path / "out.jsonl"
        out.unlink(missing_ok=True)
        done = edge("run", "--source", uri, "--bundle", bundle_path, "--threads", 1, "--jsonl", out)
        assert done.returncode == 0, done.stderr
        said = [json.loads(line)["faces"] for line in out.read_text().splitlines()]
        with fer_edge.open_source(uri) as frames:
            assert [reading.to_dict()["faces"] for reading in reader.follow(frames)] == said
        assert sum(map(len, said)) > 0


def test_a_source_ends_with_its_block_and_from_another_thread(reader: fer_edge.Reader) -> None:
    with fer_edge.open_source("synthetic://?width=64&height=64", rate=20) as frames:
        assert "synthetic" in repr(frames)
        readings = reader.follow(frames)
        next(readings)
        threading.Timer(0.05, frames.close).start()
        for _ in readings:
            pass
    frames.close()
    assert list(frames) == []


@pytest.mark.parametrize(
    ("uri", "options", "said"),
    [
        ("nowhere.mp4", {}, "no such file"),
        ("v4l3:///dev/video0", {}, "unknown scheme"),
        ("v4l2:///dev/video0", {"loop": True}, "is no clip"),
        ("v4l2:///dev/video0", {"rate": 5.0}, "is no clip"),
        (FACES, {"reconnect": True}, "is for cameras"),
    ],
)
def test_sources_that_cannot_be_opened(uri: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(SourceError, match=said):
        fer_edge.open_source(uri, **options)


# -- the event loop --------------------------------------------------------------------------------------------------


def gather(reader: fer_edge.Reader, frames: Any, **options: Any) -> list[fer_edge.Reading]:
    async def work() -> list[fer_edge.Reading]:
        return [reading async for reading in reader.afollow(frames, **options)]

    return asyncio.run(asyncio.wait_for(work(), 120))


def test_afollow_gives_what_follow_gives(reader: fer_edge.Reader, moving: list[RgbImage]) -> None:
    async def later() -> AsyncIterator[fer_edge.Frame]:
        for frame in timed(moving):
            await asyncio.sleep(0)
            yield frame

    events, same = Events(), Events()
    expected = [reading.faces for reading in reader.follow(timed(moving), on_change=events)]
    assert [reading.faces for reading in gather(reader, timed(moving), on_change=same)] == expected
    assert same.seen == events.seen
    assert [reading.faces for reading in gather(reader, later())] == expected
    with fer_edge.open_source(FACES) as frames:
        assert len(gather(reader, frames)) == 12


def test_errors_reach_the_loop(reader: fer_edge.Reader, moving: list[RgbImage]) -> None:
    with pytest.raises(ImageError, match="frame 1: "):
        gather(reader, [moving[0], moving[1][0]])
    with pytest.raises(ImageError, match="open_source"):
        gather(reader, "v4l2:///dev/video0")


def test_the_loop_goes_on_while_a_frame_is_waited_for_and_an_end_ends_the_thread(reader: fer_edge.Reader) -> None:
    """A frame that comes only when the loop lets it: did the loop wait for the frame, neither would ever come."""
    may_come, picture = threading.Event(), np.zeros((64, 64, 3), np.uint8)

    def frames() -> Iterator[RgbImage]:
        yield picture
        assert may_come.wait(60)
        yield picture
        yield picture

    async def work() -> list[int]:
        seen = []
        asyncio.get_running_loop().call_later(0.05, may_come.set)
        async for reading in reader.afollow(frames()):
            seen.append(reading.index)
            if len(seen) == 2:
                break
        return seen

    assert asyncio.run(asyncio.wait_for(work(), 120)) == [0, 1]
    until(lambda: "afollow" not in [thread.name for thread in threading.enumerate()], "the thread has ended")


def test_a_cancelled_task_leaves_nothing_behind(reader: fer_edge.Reader) -> None:
    begun, may_end, picture = threading.Event(), threading.Event(), np.zeros((64, 64, 3), np.uint8)

    def frames() -> Iterator[RgbImage]:
        begun.set()
        assert may_end.wait(60)
        yield picture

    async def work() -> None:
        async def read() -> None:
            async for _ in reader.afollow(frames()):
                pass

        task = asyncio.create_task(read())
        while not begun.is_set():
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(asyncio.wait_for(work(), 120))
    may_end.set()
    until(lambda: "afollow" not in [thread.name for thread in threading.enumerate()], "the thread has ended")


# -- sinks and lines -------------------------------------------------------------------------------------------------


def test_lines_are_those_of_to_dict(reader: fer_edge.Reader, tmp_path: Path) -> None:
    path = tmp_path / "readings.jsonl"
    with fer_edge.open_source(FACES) as frames, fer_edge.JsonlSink(path) as sink:
        documents = []
        for reading in reader.follow(frames):
            sink.publish(reading)
            documents.append(reading.to_dict())
    assert [json.loads(line) for line in path.read_text().splitlines()] == documents
    assert all(load_line(line).published_s for line in path.read_text().splitlines())
    assert repr(sink) == f"JsonlSink({str(path)!r})"
    with pytest.raises(UsageError, match=r"^jsonl .*No such file"):
        fer_edge.JsonlSink(tmp_path / "no" / "readings.jsonl")


def test_states_reach_a_broker(reader: fer_edge.Reader, tmp_path: Path, moving: list[RgbImage]) -> None:
    from mqtt_helpers import Broker, Ear

    broker = Broker(tmp_path, "allow_anonymous true")
    broker.start()
    ear = Ear(broker.port)
    try:
        with fer_edge.MqttSink(reader, "127.0.0.1", port=broker.port, device_id="me") as sink:
            assert ear.wait("fer-edge/me/availability")[0] == "online"
            reading = reader.read(moving[0])
            sink.publish(reading)
            assert json.loads(ear.wait(sink.topic)[0])["expression"] == reading.faces[0].label
            assert json.loads(ear.wait("fer-edge/me/faces")[0])["faces"][0]["expression"] == reading.faces[0].label
            assert "MqttSink(127.0.0.1" in repr(sink)
            assert sink.connected
    finally:
        ear.end()
        broker.end()


def test_every_line_of_the_command_is_of_the_schema(
    edge: Edge, reader: fer_edge.Reader, bundle_path: Path, photos: list[Path], tmp_path: Path
) -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed: pip install jsonschema")
    schema = fer_edge.reading_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    check = jsonschema.Draft202012Validator(schema)
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture")
    out, lines = tmp_path / "out.jsonl", []
    some = [path for path in photos if path.name in ("both.jpg", "no face.jpg", "cut.jpg")]
    edge("image", *some, broken, "--bundle", bundle_path, "--threads", 1, "--jsonl", out)
    lines += out.read_text().splitlines()
    out.unlink()
    zones = ("--zones-look", "all=0:0 1:0 1:1 0:1")
    edge("run", "--source", FACES, "--bundle", bundle_path, "--threads", 1, "--jsonl", out, *zones)
    lines += out.read_text().splitlines()
    assert len(lines) == 3 + 1 + 12
    for line in lines:
        check.validate(json.loads(line))
    check.validate(reader.read(photos[0]).to_dict())
    for wrong in ({"width": "wide"}, {"faces": [{}]}, {"schema": "fer-edge/reading/2"}, {"t_media_s": None}):
        assert not check.is_valid({**json.loads(lines[0]), **wrong})
    assert not check.is_valid({"schema": "fer-edge/reading/1"})


def test_the_schema_in_the_manual_is_this_one() -> None:
    path = ROOT / "docs" / "reading.schema.json"
    if not path.parent.is_dir():
        pytest.skip("no docs/ beside the tests")
    command = "python -c 'import fer_edge, json; print(json.dumps(fer_edge.reading_schema(), indent=1))'"
    assert json.loads(path.read_text()) == fer_edge.reading_schema(), f"make it again: {command} > {path.name}"
