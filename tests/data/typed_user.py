"""A user's program that names everything public, with arrays as OpenCV's stubs type them: mypy --strict finds nothing.

It is checked (tests/host/test_typed_user.py), never run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from cv2.typing import MatLike

import fer_edge


def camera() -> Iterator[MatLike]:
    capture = cv2.VideoCapture(0)
    while True:
        ok, image = capture.read()
        if not ok:
            return
        yield image


def on_change(what: str, face: fer_edge.Face, reading: fer_edge.Reading) -> None:
    print(what, face.track, face.label, reading.index)


def photos(reader: fer_edge.Reader) -> list[fer_edge.Reading]:
    image = cv2.imread("photo.jpg")
    reading: fer_edge.Reading = reader.read(image, order="bgr")
    for face in reading.faces:
        x, y, width, height = face.box
        share: float = face.probabilities[face.label]
        inside = reading.inside(face)
        print(
            x + width,
            y + height,
            share,
            face.landmarks["nose"],
            face.score,
            face.zone,
            face.uncertain,
            face.shift,
            inside,
        )
    cv2.imwrite("out.png", fer_edge.annotate(image, reading, order="bgr", blur=True))
    cv2.imshow("faces", fer_edge.blur(image, reading, order="bgr"))
    gray = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    crops: list[fer_edge.Face] = reader.read_crops([image[10:90, 10:90], gray], order="bgr")
    boxes = cv2.CascadeClassifier("haar.xml").detectMultiScale(gray)
    own = reader.read(image, order="bgr", faces=[*boxes, (1, 2, 30, 40), {"box": (1, 2, 3, 4)}, *crops])
    same = reader.read(image, order="bgr", faces=np.array([[1, 2, 30, 40]]))
    frame = fer_edge.Frame(image[:, :, ::-1], 3, source="robot", t_media_s=0.5)
    rgb = np.zeros((480, 640, 3), np.uint8)
    many = reader.read_batch([Path("a.jpg"), "b.jpg", b"...", image, rgb, frame])
    return [own, same, reader.read(frame), reader.read(rgb), *many]


def video(reader: fer_edge.Reader) -> dict[str, object]:
    settings = fer_edge.TrackSettings(smooth_s=0.5)
    with (
        fer_edge.open_source("v4l2:///dev/video0", reconnect=True) as frames,
        fer_edge.JsonlSink(Path("readings.jsonl"), strict=False) as lines,
        fer_edge.MqttSink(reader, "broker.local", password_file=Path("secret"), username="me") as mqtt,
    ):
        print(frames.name, frames.dropped, lines.dropped, mqtt.connected, mqtt.topic)
        for reading in reader.follow(frames, track=settings, on_change=on_change):
            lines.publish(reading)
            mqtt.publish(reading)
            if reading.image is not None:
                cv2.imshow("faces", fer_edge.annotate(reading.image, reading))
    for reading in reader.follow(camera(), order="bgr"):
        print(reading.to_dict()["faces"], reading.age_s, reading.stage_ms["detect"], reading.damaged, reading.left_out)
    return fer_edge.reading_schema()


async def later(reader: fer_edge.Reader) -> None:
    with fer_edge.open_source() as frames:
        async for reading in reader.afollow(frames, on_change=on_change):
            print(reading.faces)


def main() -> int:
    errors: tuple[type[fer_edge.EdgeError], ...] = (
        fer_edge.BundleError,
        fer_edge.ConfigError,
        fer_edge.ImageError,
        fer_edge.LandmarkError,
        fer_edge.RunnerError,
        fer_edge.SchemaError,
        fer_edge.SourceError,
        fer_edge.UsageError,
        fer_edge.VerifyError,
    )
    try:
        with fer_edge.open_reader(threads=2, tiles=(0,), labels="fer7", baseline=Path("me.json")) as reader:
            print(reader.labels, reader.model, reader.bundle / "manifest.json", fer_edge.__version__)
            photos(reader)
            video(reader)
            asyncio.run(later(reader))
    except errors as error:
        print(error)
        return 2
    return 0
