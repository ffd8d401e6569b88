"""Readings as a table (CSV, RFC 4180): one row per face, for pandas and spreadsheets.

A frame without a face writes no row: how many frames were read is told by the JSON lines and the summary.
"""

from __future__ import annotations

import csv
import io
import logging
import os
import stat
from collections.abc import Iterator, Sequence
from types import TracebackType

from fer_edge.contract.bounds import CSV_ROW_BYTES as LONGEST_ROW_BYTES
from fer_edge.contract.reading import ReadingDoc
from fer_edge.errors import UsageError
from fer_edge.sinks.lines import LineFile
from fer_edge.types import FrameReading, Status

log = logging.getLogger(__name__)
BEFORE = ("time", "t_media_s", "frame_index", "source", "track", "label", "uncertain", "score", "x", "y", "w", "h")
Cell = str | int | float | None


class CsvSink:
    """A header, then one row per face, handed to the system before ``publish`` returns; see ``LineFile``.

    Positions are px of the upright picture, ``p_<label>`` probabilities, ``shift_<label>`` log-odds against the face's
    own neutral; what is not known is an empty cell.

    Args:
        target: a file, or ``-`` for standard output. One that is there must begin with the same header; a row that a
            killed process left unfinished at its end is cut off.
        labels: of the classifier.
        strict: end with an error instead of going on without; for clips, whose readings must be complete.

    Raises:
        UsageError: the file cannot be opened, or holds something else.
    """

    name = "csv"

    def __init__(self, target: str, labels: Sequence[str], strict: bool = True) -> None:
        self._labels = tuple(labels)
        head = row_of(columns(labels))
        if target != "-":
            _check_file(target, head)
        self._lines = LineFile("--csv", target, strict, head, b"\r\n")
        self._lines.append(b"")  # the header, also where no face ever comes

    @property
    def dropped(self) -> int:
        """Readings that could not be written."""
        return self._lines.dropped

    def publish(self, reading: FrameReading) -> None:
        """Writes one row per face.

        Raises:
            BrokenPipeError: the reader of standard output has gone.
            UsageError: strict, and the rows cannot be written, e.g. because the disk is full.
        """
        if reading.faces:
            self._lines.append(b"".join(row_of(cells) for cells in rows(reading.to_doc(), self._labels)))

    def status(self, status: Status) -> None:
        """Nothing of it is written: a row is a face."""

    def close(self) -> None:
        """Closes the file; safe to call twice."""
        self._lines.close()

    def __enter__(self) -> CsvSink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def columns(labels: Sequence[str]) -> tuple[str, ...]:
    """The header."""
    return (*BEFORE, *(f"p_{name}" for name in labels), *(f"shift_{name}" for name in labels), "zone")


def rows(reading: ReadingDoc, labels: Sequence[str]) -> Iterator[tuple[Cell, ...]]:
    """The cells of each face in the order of ``columns``."""
    for face in reading.faces:
        shift = face.shift or {}
        yield (
            *(reading.time, reading.t_media_s, reading.frame_index, reading.source, face.track, face.label),
            *(None if face.uncertain is None else str(face.uncertain).lower(), face.score, *face.box),
            *(face.probabilities.get(name) for name in labels),
            *(shift.get(name) for name in labels),
            face.zone,
        )


def row_of(cells: Sequence[Cell]) -> bytes:
    """One row as RFC 4180 has it, its end included."""
    text = io.StringIO()
    csv.writer(text).writerow(cells)
    return text.getvalue().encode(errors="replace")


def _check_file(target: str, head: bytes) -> None:
    """Refuses a file with other content; cuts off a row that was left unfinished.

    Raises:
        UsageError: it begins with something else, or cannot be read.
    """
    try:
        state = os.stat(target)
    except OSError:
        return  # a new one; or opening it says what is wrong
    if not stat.S_ISREG(state.st_mode) or not state.st_size:
        return
    try:
        with open(target, "r+b") as file:
            first = file.readline(len(head) + 2)
            file.seek(-min(state.st_size, LONGEST_ROW_BYTES), os.SEEK_END)
            _, end, last = file.read().rpartition(b"\n")
            if not end and state.st_size > LONGEST_ROW_BYTES:
                long = f"its last row has more than {LONGEST_ROW_BYTES} bytes"
                raise UsageError(f"--csv {target}: {long}; expected a new file, or one of ours")
            if first.rstrip(b"\r\n") != head.rstrip(b"\r\n"):
                if not head.startswith(first) or last != first:  # the head itself may be what is unfinished
                    found = first.rstrip(b"\r\n")[:60].decode(errors="replace")
                    raise UsageError(
                        f"--csv {target}: begins with {found!r}; expected a new file, or one with the columns "
                        f"{', '.join(BEFORE)} and those of this bundle's labels"
                    )
            elif not last or _is_complete(last, head):
                return
            file.truncate(state.st_size - len(last))
            log.warning("--csv %s: cut off an unfinished row at its end (%d bytes)", target, len(last))
    except OSError as error:
        raise UsageError(f"--csv {target}: {error.strerror}; expected a file that can be read and written") from error


def _is_complete(row: bytes, head: bytes) -> bool:
    """Whether a row without an end has all its cells: somebody's editor left the end out."""
    text = row.decode(errors="replace")
    if text.count('"') % 2:
        return False
    return len(next(csv.reader([text]), [])) == len(next(csv.reader([head.decode()]), []))
