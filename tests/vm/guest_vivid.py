"""In the test machine: our V4L2 source on a real kernel driver (vivid), with faults that the driver injects."""

from __future__ import annotations

import itertools
import json
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

from guest import bundle, check, edge, finish, refused, sh

from fer_edge.errors import SourceError
from fer_edge.sources import open_source
from fer_edge.sources.devices import find_cameras, query

# one webcam, and an output node, which is no camera
VIVID = ("modprobe", "vivid", "n_devs=1", "node_types=0x101", "num_inputs=1", "input_types=0x0")
COLORS = ((255, 255, 0), (0, 255, 255), (0, 255, 0), (255, 0, 255), (255, 0, 0), (0, 0, 255))
state: dict[str, Path] = {}


def a_machine_without_a_camera_says_so() -> str:
    process = edge("run", "--camera", "--bundle", str(bundle()))
    _, said = process.communicate(timeout=400)
    assert process.returncode == 2, said
    assert len(said.splitlines()) == 1, said
    for words in ("picamera2", "V4L2", "no /dev/video*", "Argus"):
        assert words in said, said
    return said.strip()


def the_camera_is_found() -> str:
    sh(*VIVID)
    time.sleep(0.5)
    found, reasons = find_cameras()
    assert len(found) == 1, (found, reasons)
    state["device"], capability = found[0]
    assert capability.captures
    others = [path for path in Path("/dev").glob("video*") if path != state["device"]]
    assert [query(path).unfit() for path in others] == ["is no capture device (vivid)"], others
    return f"{found[0]}; not taken: {others}"


def frames_are_read_and_the_format_is_said() -> str:
    source = open_source(f"v4l2://{state['device']}?width=640&height=360&fps=30")
    said = source.description
    assert "vivid" in said, said
    assert "640x360" in said, said
    times, indices, started = [], [], time.monotonic()
    for frame in source:
        assert frame.image.shape == (360, 640, 3)
        age = time.monotonic() - frame.t_capture_s
        assert -0.001 < age < 5, age
        times.append(frame.t_capture_s)
        indices.append(frame.index)
        if len(times) == 25:
            source.close()
    took = time.monotonic() - started
    assert times == sorted(set(times)), times
    assert source.dropped == indices[-1] + 1 - 25 or source.dropped == indices[-1] + 2 - 25, (source.dropped, indices)
    return f"{said}; 25 frames in {took:.1f} s, {source.dropped} dropped"


def pictures_are_red_green_blue() -> str:
    source = open_source(f"v4l2://{state['device']}?width=640&height=360")
    frame = next(iter(source))
    source.close()
    row = frame.image[350]  # bars of 80 px: white, yellow, cyan, green, magenta, red, blue, black
    seen = [row[80 * bar + 40].tolist() for bar in range(1, 7)]
    for wanted, pixel in zip(COLORS, seen, strict=True):
        assert [value > 96 for value in pixel] == [value > 0 for value in wanted], (wanted, pixel)
    return str(seen)


def a_link_by_id_works_and_a_size_that_is_not_there_is_said() -> str:
    link = Path("/tmp/usb-camera-video-index0")
    link.symlink_to(state["device"])
    source = open_source(f"v4l2://{link}?width=1000&height=700")
    said = source.description
    assert "asked for 1000x700" in said, said
    next(iter(source))
    source.close()
    return said


def a_slow_reader_gets_the_newest_frame() -> str:
    source = open_source(f"v4l2://{state['device']}?width=320&height=180")
    ages, indices = [], []
    for frame in source:
        ages.append(time.monotonic() - frame.t_capture_s)
        indices.append(frame.index)
        if len(ages) == 6:
            source.close()
            break
        time.sleep(0.7)
    gaps = [b - a for a, b in itertools.pairwise(indices)]
    assert min(gaps) > 2, indices  # old ones were passed over
    assert max(ages[1:]) < 0.5, ages
    return f"frame ages {[round(age, 3) for age in ages]} s, indices {indices}, {source.dropped} dropped"


def dropped_buffers_are_borne() -> str:
    sh("v4l2-ctl", "-d", str(state["device"]), "-c", "percentage_of_dropped_buffers=40")
    source = open_source(f"v4l2://{state['device']}?width=320&height=180")
    n = 0
    for _ in source:
        n += 1
        if n == 15:
            source.close()
    sh("v4l2-ctl", "-d", str(state["device"]), "-c", "percentage_of_dropped_buffers=0")
    assert n == 15
    return "15 frames with 40% of the buffers lost"


def a_busy_camera_names_its_owner() -> str:
    device = str(state["device"])
    other = subprocess.Popen(
        ["v4l2-ctl", "-d", device, "--stream-mmap", "--stream-count=0"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    time.sleep(3)
    assert other.poll() is None
    try:
        said = refused(lambda: open_source(f"v4l2://{device}?width=320&height=180"))
    finally:
        other.terminate()
        other.wait()
    assert f"v4l2-ctl (pid {other.pid}) holds {device}" in said, said
    return said


def fer_edge_runs_on_the_camera_it_found() -> str:
    process = edge("run", "--camera", "--max-frames", "4", "--jsonl", "-", "--bundle", str(bundle()))
    out, said = process.communicate(timeout=400)
    assert process.returncode == 0, said
    readings = [json.loads(line) for line in out.splitlines()]
    assert len(readings) == 4, out
    assert all(reading["t_capture_s"] > 0 and reading["source"].startswith("v4l2://") for reading in readings)
    assert "vivid" in said, said
    return said.strip().replace("\n", " | ")


def sigterm_ends_a_run_with_status_0() -> str:
    process = edge("run", "--source", f"v4l2://{state['device']}", "--jsonl", "-", "--bundle", str(bundle()))
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    started = time.monotonic()
    _, said = process.communicate(timeout=400)
    assert process.returncode == 0, said
    assert "SIGTERM" in said, said
    return f"{time.monotonic() - started:.1f} s after the signal: {said.strip().splitlines()[-1]}"


def unplugging_is_one_line() -> str:
    source = open_source(f"v4l2://{state['device']}?width=320&height=180")
    n, unplugged = 0, 0.0
    try:
        for _ in source:
            n += 1
            if n == 5:
                sh("v4l2-ctl", "-d", str(state["device"]), "-c", "disconnect=1")
                unplugged = time.monotonic()
    except SourceError as error:
        said = str(error)
    else:
        raise AssertionError("the source ended without an error")
    took = time.monotonic() - unplugged
    assert re.search(r"lost after \d+ frames: .*no device behind it", said), said
    assert "\n" not in said
    assert took < 5, took
    return f"{took:.2f} s: {said}"


def an_unplugged_camera_is_refused_and_waiting_takes_it_when_it_is_back() -> str:
    sh("rmmod", "vivid")
    process = edge("run", "--camera", "--wait", "--max-frames", "2", "--bundle", str(bundle()))
    assert process.stderr is not None
    first = process.stderr.readline()
    assert "waiting for a camera: no camera found" in first, first
    time.sleep(4)  # several tries with the same reason
    sh(*VIVID)
    _, rest = process.communicate(timeout=400)
    assert process.returncode == 0, rest
    assert "vivid" in rest, rest
    return f"{first.strip()} | {rest.strip()}".replace("\n", " | ")


def a_run_comes_back_after_unplugging() -> str:
    """The whole daemon on the kernel's driver: unplugged, its module gone, and back."""
    process = edge("run", "--camera", "--wait", "--jsonl", "-", "--bundle", str(bundle()))
    lines: list[tuple[float, str]] = []
    said: list[str] = []

    def read(stream: IO[str] | None, add: Callable[[str], object]) -> None:
        for line in stream or ():
            add(line)

    readers = [
        threading.Thread(target=read, args=(process.stdout, lambda line: lines.append((time.monotonic(), line)))),
        threading.Thread(target=read, args=(process.stderr, lambda line: said.append(line.strip()))),
    ]
    for reader in readers:
        reader.start()

    def wait_until(what: str, condition: Callable[[], object], seconds: float = 150) -> None:
        until = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > until:
                process.kill()
                raise AssertionError(f"in vain for {seconds:g} s: {what}; {len(lines)} readings; {' | '.join(said)}")
            time.sleep(0.2)

    def rmmod() -> bool:
        return subprocess.run(["rmmod", "vivid"], check=False, stderr=subprocess.DEVNULL).returncode == 0

    wait_until("three readings", lambda: len(lines) >= 3)
    sh("v4l2-ctl", "-d", str(state["device"]), "-c", "disconnect=1")
    wait_until("the loss is said", lambda: any("waiting for it" in line for line in said))
    wait_until("the module is free", rmmod)
    time.sleep(2)
    n = len(lines)
    time.sleep(4)
    assert len(lines) == n, "readings went on without a camera"
    sh(*VIVID)
    back = time.monotonic()
    wait_until("readings again", lambda: len(lines) > n)
    took = lines[n][0] - back
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0, said
    for reader in readers:
        reader.join(60)
    assert any("frames again after" in line for line in said), said
    return f"a reading {took:.1f} s after it was back; {' | '.join(said)}"


def a_device_is_asked_what_it_is() -> str:
    capability = query(state["device"])
    assert capability.driver == "vivid"
    try:
        query(Path("/dev/null"))
    except OSError as error:
        return f"{capability.card}; /dev/null: errno {error.errno}"
    raise AssertionError("/dev/null answered")


needs_bundle = bundle() is not None
if not needs_bundle:
    print(
        "skip whole runs of fer-edge: no bundle in build/test-bundle or dist/hawqc_mbv2 (make convert MODEL=hawqc_mbv2)"
    )
if needs_bundle:
    check(a_machine_without_a_camera_says_so)
check(the_camera_is_found)
check(a_device_is_asked_what_it_is)
check(frames_are_read_and_the_format_is_said)
check(pictures_are_red_green_blue)
check(a_link_by_id_works_and_a_size_that_is_not_there_is_said)
check(a_slow_reader_gets_the_newest_frame)
check(dropped_buffers_are_borne)
check(a_busy_camera_names_its_owner)
if needs_bundle:
    check(fer_edge_runs_on_the_camera_it_found)
    check(sigterm_ends_a_run_with_status_0)
check(unplugging_is_one_line)
if needs_bundle:
    check(an_unplugged_camera_is_refused_and_waiting_takes_it_when_it_is_back)
    check(a_run_comes_back_after_unplugging)
finish()
