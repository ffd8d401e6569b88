"""Readings as JSON lines, to a file or to standard output. A line that was written is whole and stays."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType

from fer_edge.contract.limits import Limited
from fer_edge.contract.reading import ReadingDoc, dump_line
from fer_edge.sinks.lines import LineFile
from fer_edge.types import FrameReading, Status


@dataclass(frozen=True)
class JsonlSettings(Limited):
    """The ``[jsonl]`` table.

    Args:
        path: file to append to; "-" is standard output, "" writes none.
    """

    path: str = ""


class JsonlSink:
    """One line per frame, handed to the system before ``publish`` returns; see ``LineFile`` for full disks.

    Args:
        target: a file, or ``-`` for standard output.
        strict: end with an error instead of going on without; for clips, whose readings must be complete.

    Raises:
        UsageError: the file cannot be opened.
    """

    name = "jsonl"

    def __init__(self, target: str, strict: bool = True) -> None:
        self._lines = LineFile("--jsonl", target, strict)

    @property
    def dropped(self) -> int:
        """Readings that could not be written."""
        return self._lines.dropped

    def publish(self, reading: FrameReading) -> None:
        """Writes one line.

        Raises:
            BrokenPipeError: the reader of standard output has gone.
            UsageError: strict, and the line cannot be written, e.g. because the disk is full.
        """
        self.write(reading.to_doc())

    def write(self, document: ReadingDoc) -> None:
        """As ``publish``, for a document that is made already."""
        self._lines.append((dump_line(document) + "\n").encode())

    def status(self, status: Status) -> None:
        """Nothing of it is written: a line is a frame."""

    def close(self) -> None:
        """Closes the file; safe to call twice."""
        self._lines.close()

    def __enter__(self) -> JsonlSink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
