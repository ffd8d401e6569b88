"""Clips as people have them: turned, damaged, cut off, of a rate that varies, under any name."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from clock import Clock
from device_helpers import DATA
from hypothesis import given
from hypothesis import strategies as st
from made_clips import (
    MATRICES,
    cut_in_half,
    encode,
    ffmpeg,
    is_upright,
    needs_ffmpeg,
    number_of,
    numbered,
    probe,
    stamps,
    stored_as,
    with_matrix,
    with_zeroed_packet,
)

from fer_edge.errors import SourceError
from fer_edge.sources import headers, open_source
from fer_edge.sources.jpegs import RAW_IS_UNTIMED
from fer_edge.sources.packets import PacketWatch
from fer_edge.sources.stamps import Stamps
from fer_edge.sources.upright import from_matrix, from_options, then
from fer_edge.types import Frame

pytestmark = needs_ffmpeg
MADE = {"mp4": "h264", "mov": "h264", "mkv": "h264", "ts": "h264", "flv": "h264", "hevc.mp4": "hevc"} | {
    "webm": "vp8", "vp9.webm": "vp9", "avi": "mpeg4", "mpeg2.ts": "mpeg2", "mjpeg.avi": "mjpeg", "mjpeg.mov": "mjpeg"
}  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """115 numbered frames at 25 per second, by the file's name."""
    folder = tmp_path_factory.mktemp("clips")
    pictures = [numbered(i) for i in range(115)]
    return {f"clip.{name}": encode(folder / f"clip.{name}", pictures, codec=codec) for name, codec in MADE.items()}


def read(path: Path, **options: bool) -> list[Frame]:
    source = open_source(str(path), **options)  # type: ignore[arg-type]
    return list(source)


@pytest.mark.parametrize("name", [f"clip.{name}" for name in MADE])
def test_every_frame_once_with_its_own_time(made: dict[str, Path], name: str) -> None:
    frames = read(made[name])
    assert [number_of(frame.image) for frame in frames] == list(range(115))
    np.testing.assert_allclose([frame.t_media_s for frame in frames], stamps(made[name]), atol=0.001)  # type: ignore[arg-type]


# -- how a clip is turned ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", MATRICES)
@pytest.mark.parametrize(("suffix", "codec"), [("mp4", "h264"), ("mov", "mjpeg"), ("mp4", "hevc"), ("mov", "mpeg4")])
def test_a_turned_clip_is_read_upright(tmp_path: Path, clock: Clock, code: int, suffix: str, codec: str) -> None:
    stored = [stored_as(numbered(i), code) for i in range(6)]
    path = with_matrix(encode(tmp_path / f"phone.{suffix}", stored, codec=codec), code)
    source = open_source(str(path), loop=True)
    frames = list(itertools.islice(source, 12))
    assert {frame.image.shape for frame in frames} == {(96, 128, 3)}
    assert all(is_upright(frame.image) for frame in frames)
    assert [number_of(frame.image) for frame in frames] == [*range(6), *range(6)]
    paced = read(path, realtime=True)
    assert [number_of(frame.image) for frame in paced] == list(range(6))
    assert all(is_upright(frame.image) for frame in paced)


def test_a_turned_matroska_clip(tmp_path: Path) -> None:
    """FFmpeg before 6.1 knows neither its own old ROTATE tag there nor the format's roll."""
    path = encode(tmp_path / "plain.mkv", [stored_as(numbered(i), 6) for i in range(4)])
    ffmpeg("-i", path, "-c", "copy", "-metadata:s:v", "ROTATE=90", tmp_path / "tag.mkv")
    assert all(is_upright(frame.image) for frame in read(tmp_path / "tag.mkv"))
    for name in ("roll90", "roll180", "roll270"):  # mkvpropedit --set projection-pose-roll=90
        frames = read(DATA / f"{name}.mkv")
        assert [number_of(frame.image) for frame in frames] == [0, 1, 2], name
        assert all(is_upright(frame.image) for frame in frames), name


@pytest.mark.parametrize("scale", [1, 65536, 0.5])
@pytest.mark.parametrize("code", MATRICES)
def test_matrices_and_codes(code: int, scale: float) -> None:
    assert from_matrix(*(value * scale for value in MATRICES[code])) == code
    stored = stored_as(numbered(3), code)
    inverse = next(other for other in MATRICES if then(code, other) == 1)
    np.testing.assert_array_equal(stored_as(stored, inverse), numbered(3))


def test_matrices_that_say_nothing_useful() -> None:
    assert from_matrix(0, 0, 0, 0) == 1
    assert from_matrix(1, 1, 1, 1) == 1
    assert from_matrix(0.95, 0.3, -0.3, 0.95) == 1
    assert from_matrix(0.3, 0.95, -0.95, 0.3) == 6


def test_turning_adds_up() -> None:
    for first, second, third in itertools.product(MATRICES, repeat=3):
        assert then(then(first, second), third) == then(first, then(second, third))
    assert then(6, 6) == 3
    assert from_options({"rotation": 180, "hflip": 1, "vflip": 1}, "x") == 1


# -- damage ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [f"clip.{name}" for name in MADE])
def test_a_damaged_packet_costs_few_frames_and_is_counted(
    made: dict[str, Path], name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    source = open_source(str(with_zeroed_packet(made[name], 50)))
    frames = list(source)
    numbers = [number_of(frame.image) for frame in frames]
    sound = [number for number in numbers if number is not None]  # some decoders patch the hole with what was there
    assert len(frames) >= 112
    assert len(set(sound)) >= 85  # until the next key frame the old picture may show through
    assert numbers[-1] == 114
    times = [frame.t_media_s or 0.0 for frame in frames]
    assert len(set(times)) == len(times)
    if not name.endswith(("ts", "flv")):  # there a hole can pass for a shorter packet, and is patched or missed
        assert len(frames) + source.corrupt >= 115
    assert source.incomplete == ""
    assert capfd.readouterr().err == ""
    assert not frames[20].damaged
    assert not frames[-1].damaged  # there was a key frame
    if source.corrupt:  # what follows may be smeared, and shows an old number
        wrong = [f for f in frames if number_of(f.image) != round((f.t_media_s or 0) * 25)]
        assert all(frame.damaged for frame in wrong)


def test_a_jpeg_with_a_hole_is_marked(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = encode(tmp_path / "x.avi", [numbered(i) for i in range(6)], codec="mjpeg")
    packet = probe(path, "packet=pos,size")[3]
    content = bytearray(path.read_bytes())
    middle = int(packet["pos"]) + 8 + int(packet["size"]) * 2 // 3
    content[middle : middle + 60] = bytes(60)
    path.write_bytes(content)
    assert [frame.damaged for frame in read(path)] == [None, None, None, True, None, None]
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("name", [f"clip.{name}" for name in MADE])
def test_a_clip_cut_in_half_says_so(made: dict[str, Path], name: str) -> None:
    source = open_source(str(cut_in_half(made[name])))
    frames = list(source)
    assert 30 <= len(frames) <= 85
    assert [number_of(frame.image) for frame in frames[:25]] == list(range(25))
    assert source.incomplete.startswith("cut off: the file ends ")
    if not name.endswith(("ts", "flv")):
        missing = 115 - len(frames) - source.corrupt
        assert f"{missing} of 115 announced frames never came" in source.incomplete


def test_a_clip_without_its_index_is_refused_with_the_reason(tmp_path: Path) -> None:
    path = encode(tmp_path / "x.mov", [numbered(i) for i in range(9)], "-movflags", "0")
    with pytest.raises(SourceError, match=r"no frame can be read from it \(cut off: the file (ends at|has no index)"):
        open_source(str(cut_in_half(path)))


def test_whole_clips_are_not_called_cut(made: dict[str, Path]) -> None:
    for path in made.values():
        source = open_source(str(path))
        assert len(list(source)) == 115
        assert source.incomplete == ""
        assert source.corrupt == 0


def test_an_avi_written_into_a_pipe_is_whole_or_cut(made: dict[str, Path], tmp_path: Path) -> None:
    """Its writer could not go back to say how long it became."""
    line = ["ffmpeg", "-v", "error", "-i", str(made["clip.avi"]), "-c", "copy", "-f", "avi", "-"]
    path = tmp_path / "piped.avi"
    path.write_bytes(subprocess.run(line, capture_output=True, check=True).stdout)
    assert path.read_bytes()[4:8] == b"\xff\xff\xff\xff"
    source = open_source(str(path))
    assert len(list(source)) == 115
    assert source.incomplete == ""
    half = open_source(str(cut_in_half(path)))
    assert 30 <= len(list(half)) <= 85
    assert half.incomplete.startswith("cut off: the file ends ")


def test_a_clip_trimmed_without_encoding_is_whole(made: dict[str, Path], tmp_path: Path) -> None:
    """Its edit list hides the frames before the cut, which are in the file."""
    for suffix in ("mp4", "mkv"):
        ffmpeg("-ss", "1.7", "-i", made[f"clip.{suffix}"], "-t", "1", "-c", "copy", tmp_path / f"trim.{suffix}")
        source = open_source(str(tmp_path / f"trim.{suffix}"))
        frames = list(source)
        assert 20 <= len(frames) <= 60
        assert source.incomplete == ""


# -- size --------------------------------------------------------------------------------------------------------------

SIZES = [(96, 128), (192, 256), (128, 96), (96, 128)]


@pytest.fixture(scope="module")
def resized(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Path]:
    """A clip of four sizes, 20 frames each, as recordings joined end to end and calls whose picture grows."""
    folder = tmp_path_factory.mktemp("sizes")

    def make(suffix: str, codec: str) -> Path:
        numbers = [range(20 * part, 20 * part + 20) for part in range(len(SIZES))]
        parts = [
            encode(folder / f"{codec}{part}.{suffix}", [numbered(i, *size) for i in numbers[part]], codec=codec)
            for part, size in enumerate(SIZES)
        ]
        path = folder / f"{codec}.{suffix}"
        if suffix in ("ts", "mjpeg"):
            path.write_bytes(b"".join(part.read_bytes() for part in parts))
        else:
            (folder / "list.txt").write_text("".join(f"file '{part}'\n" for part in parts))
            ffmpeg("-f", "concat", "-safe", "0", "-i", folder / "list.txt", "-c", "copy", path)
        return path

    return make


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [
        *(("ts", "h264"), ("ts", "hevc"), ("ts", "mpeg2"), ("ts", "mpeg4"), ("webm", "vp8"), ("webm", "vp9")),
        *(("mkv", "h264"), ("mp4", "h264"), ("flv", "h264"), ("mjpeg", "mjpeg")),
    ],
)
def test_a_picture_that_changes_its_size(
    resized: Callable[[str, str], Path], suffix: str, codec: str, capfd: pytest.CaptureFixture[str]
) -> None:
    source = open_source(str(resized(suffix, codec)))
    frames = list(source)
    numbers = [number_of(frame.image) for frame in frames]
    left_out = set(range(80)) - set(numbers)
    if codec == "mpeg2":  # FFmpeg's decoder holds one frame back, and loses it where the size first changes
        assert left_out == {19}
    elif RAW_IS_UNTIMED and codec in ("h264", "hevc"):  # so does OpenCV, with what was to be put in order
        assert left_out <= {15, 16, 17, 18, 19}
    else:
        assert left_out == set()
    assert numbers == sorted(set(range(80)) - left_out)
    assert source.corrupt == len(left_out)
    assert [frame.image.shape[:2] for frame in frames] == [SIZES[number // 20] for number in numbers]  # type: ignore[operator]
    assert all(is_upright(frame.image) for frame in frames)
    times = [frame.t_media_s or 0.0 for frame in frames]
    assert times == sorted(times)
    assert 3.0 <= times[-1] <= 3.5
    assert source.incomplete == ""
    assert capfd.readouterr().err == ""


def test_a_clip_of_several_sizes_can_be_left_at_any_frame(resized: Callable[[str, str], Path]) -> None:
    path = resized("webm", "vp8")
    for n in (1, 19, 20, 21, 45):
        source = open_source(str(path))
        assert len(list(itertools.islice(source, n))) == n
        source.close()
    before = len(os.listdir("/proc/self/fd"))
    assert [number_of(f.image) for f in itertools.islice(open_source(str(path), loop=True), 100)] == [
        *range(80),
        *range(20),
    ]
    assert len(os.listdir("/proc/self/fd")) <= before + 4


@pytest.mark.parametrize("codec", ["h264", "hevc", "mpeg2", "mpeg4", "vp8", "vp9"])
def test_codecs_are_known_by_their_packets(tmp_path: Path, codec: str) -> None:
    suffix = "webm" if codec.startswith("vp") else "ts"
    marks = []
    for size in ((96, 128), (96, 144), (112, 128)):
        packets = PacketWatch(
            str(encode(tmp_path / f"x.{suffix}", [numbered(i, *size) for i in range(20)], codec=codec))
        )
        assert packets.step()
        assert headers.codec_of(packets.packet) == packets.codec
        assert packets.codec.lower() in (f"{codec}0".encode(), codec.encode(), b"fmp4" if codec == "mpeg4" else b"mpg2")
        marks.append(headers.size_mark(packets.codec, packets.packet))
        packets.close()
    assert len(set(marks)) == 3
    assert all(marks)


@given(st.binary(max_size=60), st.sampled_from([b"H264", b"HEVC", b"VP80", b"VP90", b"AV01", b"mpg2", b"FMP4", b""]))
def test_any_packet_can_be_asked(packet: bytes, codec: bytes) -> None:
    assert isinstance(headers.codec_of(packet), bytes)
    assert isinstance(headers.size_mark(codec, packet), bytes)
    assert headers.is_shown(codec, packet) in (True, False)


# -- time --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["v.mp4", "v.mkv", "v.webm", "v.mov", "mjpeg.mov", "mjpeg.mkv", "late.mkv"])
def test_a_variable_rate_keeps_its_times(tmp_path: Path, name: str) -> None:
    codec = "mjpeg" if name.startswith("mjpeg") else "vp8" if name.endswith("webm") else "h264"
    varied = "setpts='(N*0.04+floor(N/10)*0.7+0.013*mod(N,3))/TB'"
    offset = ("-output_ts_offset", "7.5") if name.startswith("late") else ()
    options = ("-vf", varied, "-vsync", "vfr", *offset)
    path = encode(tmp_path / name, [numbered(i) for i in range(60)], *options, codec=codec)
    frames = read(path)
    times = [frame.t_media_s or 0.0 for frame in frames]
    assert times[-1] > 5  # by index it were 2.4 s
    assert times == sorted(times)
    np.testing.assert_allclose(times, stamps(path), atol=0.001)


def test_rounds_of_a_loop_go_on_in_time(made: dict[str, Path]) -> None:
    frames = list(itertools.islice(open_source(str(made["clip.mp4"]), loop=True), 240))
    np.testing.assert_allclose([frame.t_media_s for frame in frames], 0.04 * np.arange(240), atol=0.001)  # type: ignore[arg-type]
    assert [frame.index for frame in frames] == list(range(240))


@pytest.mark.parametrize(
    ("given_ms", "expected"),
    [
        ([0, 40, 80], [0, 0.04, 0.08]),
        ([-80, 40, 80], [0, 0.04, 0.08]),  # OpenCV gives the first frame's decoding time
        ([0, 40, 0, 0], [0, 0.04, 0.08, 0.12]),  # 4.6, at the end
        ([0, 5000, 5040, 5060, 0], [0, 5.0, 5.04, 5.06, 5.08]),
        ([0, 3960, 4000, 0, 40, 80], [0, 3.96, 4.0, 4.04, 4.08, 4.12]),  # joined
        ([0, 40, 39.9, 80], [0, 0.04, 0.04, 0.08]),
        ([9.2e15, 9.2e15, float("nan")], [0, 0.04, 0.08]),
    ],
)
def test_stamps(given_ms: list[float], expected: list[float]) -> None:
    stamps = Stamps(0.04)
    np.testing.assert_allclose([stamps.place(ms) for ms in given_ms], expected, atol=1e-9)


# -- names -------------------------------------------------------------------------------------------------------------


def test_a_name_that_is_not_utf8(made: dict[str, Path], tmp_path: Path) -> None:
    """OpenCV crashes where it is given such a name: the source's process must not."""
    name = os.fsencode(tmp_path) + b"/caf\xe9.mp4"
    Path(os.fsdecode(name)).write_bytes(made["clip.mp4"].read_bytes())
    code = "import sys; from fer_edge.sources import open_source; s = open_source(sys.argv[1]); f = list(s); "
    code += "print(len(f), ascii(f[0].source), s.corrupt)"
    done = subprocess.run([sys.executable, "-c", code, name], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(b"115 'file:///")
