"""What native code prints is kept from our output, and given back where it says why something failed."""

import contextlib
import os

import pytest

from fer_edge.contract.descriptors import captured


def test_printed_lines_are_caught_and_the_descriptors_come_back(capfd: pytest.CaptureFixture[str]) -> None:
    with captured(1, 2) as printed:
        os.write(1, b"chatter\n")
        os.write(2, b"INFO: more\n")
        assert printed == b""  # filled at the end
    os.write(2, b"ours\n")
    assert printed == b"chatter\nINFO: more\n"
    assert capfd.readouterr() == ("", "ours\n")


def test_what_was_printed_before_an_error_is_there_too(capfd: pytest.CaptureFixture[str]) -> None:
    def open_camera(kept: list[bytearray]) -> None:
        with captured(2) as printed:
            kept.append(printed)
            os.write(2, b"GStreamer says why\n")
            raise ValueError("no camera")

    kept: list[bytearray] = []
    with pytest.raises(ValueError, match="no camera"):
        open_camera(kept)
    (printed,) = kept
    assert printed == b"GStreamer says why\n"
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("first_out", [0, 1])
def test_two_threads_leave_in_any_order(first_out: int, capfd: pytest.CaptureFixture[str]) -> None:
    """One decodes a photo, the other loads a network: afterwards standard error is what it was."""
    inside, printed = [contextlib.ExitStack(), contextlib.ExitStack()], []
    for number, stack in enumerate(inside):
        printed.append(stack.enter_context(captured(2)))
        os.write(2, b"%d\n" % number)
    inside[first_out].close()
    os.write(2, b"between\n")
    inside[1 - first_out].close()
    os.write(2, b"ours\n")
    assert capfd.readouterr().err == "ours\n"
    assert sorted(b"".join(printed).splitlines()) == [b"0", b"1", b"between"]


def test_a_closed_descriptor_is_left_alone() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    os.close(writer)
    with captured(writer) as printed:
        pass
    assert printed == b""
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(writer)
