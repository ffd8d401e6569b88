"""Colors are turned round as NumPy does it, and a small clip is decoded on one thread."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from made_clips import encode, needs_ffmpeg, numbered

from fer_edge.sources.decoder import SMALL_PX, Decoder
from fer_edge.sources.opencv import rgb_of


@pytest.mark.parametrize("in_place", [False, True])
def test_rgb_is_the_reversed_last_axis(in_place: bool):
    for width in (*range(1, 70), 127, 640):
        bgr = np.random.default_rng(width).integers(0, 256, (3, width, 3), dtype=np.uint8)
        before, expected = bgr.copy(), bgr[:, :, ::-1].copy()
        rgb = rgb_of(bgr, in_place)
        assert np.array_equal(rgb, expected)
        assert np.shares_memory(rgb, bgr) is in_place
        assert in_place or np.array_equal(bgr, before)


def test_rgb_of_what_cannot_be_written_or_is_turned():
    bgr = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    bgr.flags.writeable = False
    assert np.array_equal(rgb_of(bgr, in_place=True), bgr[:, :, ::-1])
    turned = bgr.swapaxes(0, 1)[::-1]
    assert np.array_equal(rgb_of(turned, in_place=True), turned[:, :, ::-1])


@needs_ffmpeg
@pytest.mark.skipif(not hasattr(cv2, "CAP_PROP_N_THREADS"), reason="this OpenCV cannot be told (before 4.7)")
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core: OpenCV itself takes one thread")
@pytest.mark.parametrize(("height", "width"), [(480, 640), (720, 1280)])
def test_small_clips_take_no_thread_and_large_ones_do(tmp_path: Path, height: int, width: int):
    clip = encode(tmp_path / "clip.mp4", [numbered(i, height, width) for i in range(6)])
    before = len(os.listdir("/proc/self/task"))
    decoder = Decoder(str(clip), is_file=True)
    more = len(os.listdir("/proc/self/task")) - before
    pictures = [decoder.read() for _ in range(6)]
    decoder.close()
    assert (more > 0) is (height * width > SMALL_PX)
    assert all(picture is not None for picture in pictures)
