"""Read this first: ``open_reader`` and ``Reader``, which a program's threads share."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from numpy.typing import NDArray

from fer_edge.contract.baseline import load as load_baseline
from fer_edge.contract.bundle import Bundle, open_bundle
from fer_edge.detectors import PHOTO_TILES
from fer_edge.library.arrays import Order
from fer_edge.library.batch import in_threads
from fer_edge.library.boxes import Given, own_face, with_landmarks
from fer_edge.library.changes import OnChange
from fer_edge.library.crops import read_crops
from fer_edge.library.following import Following, FrameLike, readings
from fer_edge.library.lending import Lender
from fer_edge.library.pictures import Picture, is_path, prepared
from fer_edge.library.reading import Face, Reading
from fer_edge.library.source import Frames
from fer_edge.library.waiting import areadings
from fer_edge.pipeline import Pipeline, open_pipeline
from fer_edge.setting import tuned
from fer_edge.setting.find import find_bundle
from fer_edge.setting.setting import Setting, default_threads
from fer_edge.sinks.running import Running, what_runs
from fer_edge.tracking.track import TrackSettings
from fer_edge.tracking.tracker import Tracker
from fer_edge.types import Frame, FrameReading


class Reader:
    """Reads expressions, with one bundle; safe from any thread. Made by ``open_reader``.

    Each thread that reads at the same moment has interpreters of its own, as many as there are cores, up to four; they
    are made when they are first needed. ``close``, or the end of a ``with``, lets go of them.

    Args:
        bundle: that was opened.
        told: variant, threads, detector and least score; None each for the default.
        tiles: grids searched for small faces; None as the command: in photos and clips, not in live pictures.
        baseline: log-odds of the neutral of whoever is seen.
    """

    def __init__(
        self,
        bundle: Bundle,
        told: tuple[str | None, int | None, str | None, float | None],
        tiles: tuple[int, ...] | None,
        baseline: tuple[float, ...] | None = None,
    ) -> None:
        self._bundle, self._told, self._tiles, self._baseline = bundle, told, tiles, baseline
        self._setting = tuned.choose(bundle, *told, is_live=False)
        most = default_threads()
        # one is opened here: what cannot run is said now, and the first picture takes no longer than the others
        self._photos: Lender[Pipeline] = Lender(self._open_photos, most, most, (self._open_photos(),))
        self._boxes: Lender[Pipeline] = Lender(lambda n: self._open(self._one_of(n), ()), most, most)
        self._clips: Lender[Pipeline] = Lender(lambda _: self._open_photos(), None, 1)
        self._live: Lender[Pipeline] = Lender(lambda _: self._open_live(), None, 1)

    # -- what it is --------------------------------------------------------------------------------------------------

    @property
    def labels(self) -> tuple[str, ...]:
        """The expressions that it tells apart, in the order of ``probabilities``."""
        return self._bundle.manifest.label_set().labels

    @property
    def bundle(self) -> Path:
        """The folder of the bundle."""
        return self._bundle.path

    @property
    def model(self) -> str:
        """Id and version of the bundle's model, e.g. ``hawqc_mbv2 0.1.0``."""
        return f"{self._bundle.manifest.model_id} {self._bundle.manifest.version}"

    def __repr__(self) -> str:
        setting = self._setting
        return f"Reader({self.model}, {setting.variant}, {setting.detector}, threads={setting.threads})"

    # -- pictures ----------------------------------------------------------------------------------------------------

    def read(self, picture: Picture, *, order: Order = "rgb", faces: Iterable[Given] | None = None) -> Reading:
        """All faces of one picture, as ``fer-edge image`` reads a photo: the same answer to the last digit.

        Args:
            picture: a path, the bytes of a file, an array (height, width, 3) uint8, or a ``Frame``.
            order: of an array's channels: "rgb", or "bgr" for OpenCV's; a wrong one changes labels.
            faces: read these and look for no others: boxes (x, y, width, height) in px of the picture; or mappings
                with ``box`` and ``landmarks``, as in the JSON line; or faces of another reading. Landmarks are (x, y)
                by name, or a list of five (right eye, left eye, nose, the mouth's two corners). Without landmarks they
                are looked for in the box.

        Returns:
            The reading, in px of the upright picture. A damaged photo is read as far as it goes: ``Reading.damaged``.

        Raises:
            ImageError: it cannot be read, or is no picture; one line that says what is expected.
            LandmarkError: given landmarks coincide.
        """
        frame = prepared(picture, order)
        found = self._search(frame) if faces is None else self._read_faces(frame, faces)
        return Reading(found.published(), path=str(Path(picture)) if is_path(picture) else None)  # type: ignore[arg-type]

    def read_batch(self, pictures: Iterable[Picture], *, order: Order = "rgb") -> list[Reading]:
        """Many whole pictures, on all cores: each as ``read`` reads it, in their order.

        Args:
            pictures: see ``read``; taken as they are needed.
            order: of all arrays among them.

        Raises:
            ImageError: of the first that cannot be read.
        """
        return list(in_threads(lambda picture: self.read(picture, order=order), pictures, default_threads()))

    def read_crops(self, crops: Iterable[NDArray[Any]], *, order: Order = "rgb") -> list[Face]:
        """Faces that are cut out already, without a search: of any size, in color, gray, or with an alpha channel.

        The whole crop is taken for the face, forehead to chin, upright: nothing is aligned. Where the picture is still
        there, ``read(picture, faces=boxes)`` aligns each face and is more accurate.

        Args:
            crops: (h, w), (h, w, 3) or (h, w, 4) uint8 each.
            order: of their channels.

        Returns:
            One face a crop, whose box is the whole crop.

        Raises:
            ImageError: one of them is no picture; the message has its place in the list.
        """
        with self._boxes.lend() as pipeline:
            return read_crops(pipeline, crops, order)

    # -- videos ------------------------------------------------------------------------------------------------------

    def follow(
        self,
        frames: Frames | Iterable[FrameLike],
        *,
        order: Order = "rgb",
        track: TrackSettings | None = None,
        on_change: OnChange | None = None,
    ) -> Iterator[Reading]:
        """Each frame's faces, tracked and smoothed, as ``fer-edge run`` reads a video.

        Args:
            frames: of ``open_source``; or your own: arrays, which are timed when they arrive, or ``Frame``s.
            order: of the channels of frames that are arrays.
            track: how faces are followed and how calm their labels are.
            on_change: called with ``"came"``, ``"went"`` or ``"label"``, the face, and the reading. A face that went
                is as it was last seen; when the frames end, all have gone.

        Yields:
            A reading a frame, which holds the frame's picture.

        Raises:
            SourceError: the source was lost.
            ImageError: a frame is no picture.
        """
        with self._following(frames, order, track, on_change) as following:
            yield from readings(following, frames)

    async def afollow(
        self,
        frames: Frames | Iterable[FrameLike] | AsyncIterable[FrameLike],
        *,
        order: Order = "rgb",
        track: TrackSettings | None = None,
        on_change: OnChange | None = None,
    ) -> AsyncIterator[Reading]:
        """As ``follow``, for ``async for``: frames are waited for and read in a thread, and the event loop never waits.

        Args:
            frames: also an asynchronous iterable.
            order: as in ``follow``.
            track: as in ``follow``.
            on_change: called in the thread; ``loop.call_soon_threadsafe`` brings it back.

        Yields:
            A reading a frame.
        """
        async for reading in areadings(lambda: self._following(frames, order, track, on_change), frames):
            yield reading

    # -- its end -----------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Lets go of the interpreters; reading then raises RunnerError. Safe to call twice, and while others read."""
        for lender in (self._photos, self._boxes, self._clips, self._live):
            lender.close()

    def __enter__(self) -> Reader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- within ------------------------------------------------------------------------------------------------------

    def _search(self, frame: Frame) -> FrameReading:
        with self._photos.lend() as pipeline:
            return pipeline.read_frame(frame)

    def _read_faces(self, frame: Frame, given: Iterable[Given]) -> FrameReading:
        whole_hw = frame.original_hw or (frame.image.shape[0], frame.image.shape[1])
        boxes = [own_face(face, i, whole_hw).scaled(frame.scale) for i, face in enumerate(given)]
        with self._boxes.lend() as pipeline:
            marked = [with_landmarks(pipeline.detector, frame.image, face) for face in boxes]
            return pipeline.read_faces(frame, marked)

    @contextlib.contextmanager
    def _following(
        self, frames: object, order: Order, track: TrackSettings | None, on_change: OnChange | None
    ) -> Iterator[Following]:
        can_wait = isinstance(frames, Frames) and frames.can_wait
        settings = track or TrackSettings()
        if isinstance(frames, Frames) and not frames.tracks_faces:
            settings = dataclasses.replace(settings, enabled=False)
        with (self._clips if can_wait else self._live).lend() as pipeline:
            pipeline.tracker = Tracker(settings) if settings.enabled else None
            yield Following(pipeline, order, on_change)

    def _one_of(self, n_before: int) -> Setting:
        """The first has all threads that were found best for one picture at a time, the ones beside it one each."""
        beside = n_before > 0 and self._told[1] is None
        return dataclasses.replace(self._setting, threads=1) if beside else self._setting

    def _open_photos(self, n_before: int = 0) -> Pipeline:
        """Of photos, and of clips, whose frames wait as photos do."""
        return self._open(self._one_of(n_before), self._grids(PHOTO_TILES))

    def _open_live(self) -> Pipeline:
        setting = tuned.choose(self._bundle, *self._told, is_live=True)
        return self._open(setting, self._grids(()))

    def _open(self, setting: Setting, grids: tuple[int, ...]) -> Pipeline:
        return open_pipeline(self._bundle, setting, grids, baseline=self._baseline)

    def _grids(self, default: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(grid for grid in (default if self._tiles is None else self._tiles) if grid > 1)


def running_of(reader: Reader) -> Running:
    """What runs, as sinks tell it."""
    return what_runs(reader._bundle.manifest, reader._setting)


def open_reader(
    bundle: str | os.PathLike[str] | None = None,
    *,
    variant: str | None = None,
    threads: int | None = None,
    detector: str | None = None,
    min_score: float | None = None,
    tiles: Sequence[int] | None = None,
    labels: str | None = None,
    baseline: str | os.PathLike[str] | None = None,
) -> Reader:
    """Opens a bundle for reading; without arguments as the command does.

    Args:
        bundle: its folder; None takes FER_EDGE_BUNDLE, else the installed one, else the only one in ``dist/``,
            else the one inside the package.
        variant: of the classifier, e.g. "int8"; None takes the bundle's default.
        threads: of each interpreter; None takes what ``fer-edge tune`` found here, else up to 4.
        detector: "blazeface_short", "blazeface_full" or "mtcnn"; None takes the bundle's first.
        min_score: least score of a face, 0..1; None takes the detector's own.
        tiles: grids searched for small faces, (0,) for none; None searches photos and clips with (2, 3).
        labels: set to answer in, "ferplus8" or "fer7", where the bundle has both.
        baseline: file of ``fer-edge baseline``, the neutral of the one person who is seen, for ``Face.shift``.

    Raises:
        BundleError: there is none, or it is damaged.
        SchemaError: it has no such variant, detector or set of labels, or the baseline is another bundle's.
        RunnerError: no interpreter here can run it.
    """
    opened = open_bundle(find_bundle(None if bundle is None else Path(bundle))).answering_in(labels)
    own = None if baseline is None else load_baseline(baseline, opened).log_odds
    return Reader(opened, (variant, threads, detector, min_score), None if tiles is None else tuple(tiles), own)
