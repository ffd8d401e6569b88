"""What ``fer-edge run`` takes: peak memory by kind of run, what each library costs, and how long until it answers.

python benchmarks/memory.py dist/hawqc_mbv2      (writes results/memory.md; mosquitto for the run with MQTT)

Each figure is a fresh process' own; the clip is drawn here (640 x 480, H.264, one face) and encoded with PyAV.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from clips import machine
from written import write

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "memory.md"
ROOT = HERE.parent
KEPT_ROW = "the drawn clip, mapped pages kept (`program/pages.py` off)"
BAR_MIB, BAR_SENDING_MIB = 75.0, 85.0
BAR_WARM_S, BAR_COLD_S, BAR_HELP_S = 1.0, 2.0, 0.2
HW, N_FRAMES = (480, 640), 150
# steps of one process, each after the ones before; what it takes is the difference
STEPS = (
    ("Python alone", "pass"),
    ("the command line", "import fer_edge.cli; from fer_edge.program.own import owned; own = owned(); own.__enter__()"),
    ("NumPy", "import numpy"),
    ("OpenCV", "import cv2"),
    ("run and its settings", "import fer_edge.commands.run"),
    ("LiteRT", "from fer_edge.classifier import runtime; runtime.find_runtime()"),
    ("bundle, digests checked", "from fer_edge.contract.bundle import open_bundle; bundle = open_bundle(Path(BUNDLE))"),
    (
        "the classifier",
        "from fer_edge.classifier.runner import LiteRunner; v = bundle.manifest.variant(None);"
        " runner = LiteRunner(bundle.read(v.file), v, 1); runner(numpy.zeros((1, *v.input_hwc), numpy.float32))",
    ),
    (
        "the detector",
        "from fer_edge.detectors import make_detector; detector = make_detector(bundle.manifest.find_detector(None),"
        " bundle.read, (2, 3)); detector.detect(numpy.zeros((480, 640, 3), numpy.uint8))",
    ),
    ("mapped and not used let go", "from fer_edge.program import pages; pages.let_go()"),
    ("the clip, its first frame", "from fer_edge.sources import open_source; frames = iter(open_source(CLIP))"),
    ("20 frames more", "import itertools; [detector.detect(frame.image) for frame in itertools.islice(frames, 20)]"),
    ("again let go", "pages.let_go()"),
    ("20 frames more again", "[detector.detect(frame.image) for frame in itertools.islice(frames, 20)]"),
    ("second opinion on doubtful faces", "from fer_edge.detectors.doubt import opinion_of;"
     " opinion = opinion_of(bundle.manifest, bundle.read, 1)()"),
    ("the page", "import fer_edge.sinks.web.sink"),
    ("MQTT", "import fer_edge.sinks.mqtt.sink, paho.mqtt.client"),
)  # fmt: skip
# what a run could import and does not: measured alone, on top of Python
APART = ("hashlib", "importlib.metadata", "ssl", "asyncio", "http.server", "json", "tomllib", "av", "numpy.random")
FIELDS = ("VmHWM", "VmRSS", "RssAnon", "RssFile", "Pss")


@dataclass(frozen=True)
class Taken:
    """What a process took, in MiB."""

    peak: float
    resident: float
    own: float
    files: float
    pss: float


KEPT = "MAPPED_PAGES_ARE_KEPT"  # a run without program/pages.py, to tell what that one does from the rest
READ = """
def taken():
    import re
    text = open("/proc/self/status").read() + open("/proc/self/smaps_rollup").read()
    return [int(re.search(rf"^{name}:\\s*(\\d+)", text, re.M)[1]) / 1024 for name in FIELDS]
"""
RUN = (
    "import os, sys; from fer_edge.__main__ import main\n"
    "from fer_edge.program import pages\n"
    f"if {KEPT!r} in os.environ: pages.let_go = lambda: 0\n"
    f"FIELDS = {FIELDS!r}\n{READ}\n"
    "status = main(); print('TAKEN', *taken(), file=sys.stderr); sys.exit(status)"
)


def run_once(python: str, bundle: Path, clip: str, *more: str, env: dict[str, str] | None = None) -> Taken:
    """One ``fer-edge run`` in a process of its own, asked at its very end."""
    line = [python, "-c", RUN, "run", "--source", clip, "--bundle", str(bundle), "--jsonl", os.devnull, *more]
    done = subprocess.run(line, capture_output=True, text=True, check=False, env=env, cwd=ROOT)
    said = [text for text in done.stderr.splitlines() if text.startswith("TAKEN ")]
    if done.returncode or not said:
        raise SystemExit(f"memory: {line[3:]}: status {done.returncode}: {done.stderr}")
    return Taken(*map(float, said[0].split()[1:]))


def steps(python: str, bundle: Path, clip: str) -> list[tuple[str, list[float]]]:
    """After each step of one process: peak, resident, own, files, PSS."""
    code = [f"FIELDS = {FIELDS!r}", READ, "from pathlib import Path", f"BUNDLE, CLIP = {str(bundle)!r}, {clip!r}"]
    for name, line in STEPS:
        code += [line, f"print({name!r}, *taken(), sep='|')"]
    done = subprocess.run([python, "-c", "\n".join(code)], capture_output=True, text=True, check=False, cwd=ROOT)
    if done.returncode:
        raise SystemExit(f"memory: {done.stderr}")
    rows = (line.split("|") for line in done.stdout.splitlines())
    return [(name, list(map(float, values))) for name, *values in rows]


def apart(python: str) -> list[tuple[str, float, float, float]]:
    """Of each module by itself: resident, own and processor ms, more than Python alone; medians of five."""
    found = []
    for name in ("pass", *APART):
        line = "pass" if name == "pass" else f"import {name}"
        code = f"FIELDS = {FIELDS!r}\n{READ}\nimport time, re\nt = time.process_time()\n{line}\n"
        code += "print((time.process_time() - t) * 1000, *taken())"
        said = [subprocess.run([python, "-c", code], capture_output=True, text=True, check=True) for _ in range(5)]
        rows = [list(map(float, done.stdout.split())) for done in said]
        ms, _, resident, own, *_ = (statistics.median(column) for column in zip(*rows, strict=True))
        found.append((name, resident, own, ms))
    (_, resident, own, _), *rest = found
    return [(name, r - resident, o - own, ms) for name, r, o, ms in rest]


def start_s(line: list[str], until_line: bool) -> tuple[float, float]:
    """Wall and processor time until the first line on stdout (or the end); the process is then ended."""
    started = time.monotonic()
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=ROOT) as process:
        assert process.stdout is not None
        if until_line:
            if not process.stdout.readline():
                raise SystemExit(f"memory: {line}: no reading")
        else:
            process.stdout.read()
        wall = time.monotonic() - started
        cpu = 0.0
        if until_line:
            ticks = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
            cpu = sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")
            process.kill()
    return wall, cpu


def draw(path: Path) -> None:
    """The clip: drawn faces, so that it may be passed on."""
    import av
    import numpy as np

    from fer_edge.sources import open_source

    height, width = HW
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for frame in open_source(f"synthetic://?width={width}&height={height}&n={N_FRAMES}"):
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame.image), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())


def free_port() -> int:
    """One that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def runs(python: str, bundle: Path, clip: str, others: list[Path], scratch: Path, n: int) -> list[tuple[str, Taken]]:
    """Each kind of run, the one of ``n`` with the highest peak."""
    port = free_port()
    conf = scratch / "mosquitto.conf"
    conf.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
    broker = subprocess.Popen(["mosquitto", "-c", str(conf)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(1)
    sending = ("--web", "--web-port", "0", "--metrics", "--mqtt-host", "127.0.0.1", "--mqtt-port", str(port))
    kinds = [("the drawn clip", clip, ()), ("the same, with page, metrics and MQTT", clip, sending)]
    for other in others:
        kinds += [(other.name, str(other), ()), (f"{other.name}, with page, metrics and MQTT", str(other), sending)]
    kinds.append(("drawn faces without a clip", f"synthetic://?n={N_FRAMES}", ()))
    kinds.append((KEPT_ROW, clip, ()))

    def worst(name: str, source: str, more: tuple[str, ...]) -> Taken:
        env = os.environ | ({KEPT: "1"} if name == KEPT_ROW else {})
        return max((run_once(python, bundle, source, *more, env=env) for _ in range(n)), key=lambda taken: taken.peak)

    try:
        return [(name, worst(name, source, more)) for name, source, more in kinds]
    finally:
        broker.terminate()
        broker.wait()


def starts(python: str, bundle: Path, clip: str, n: int, is_cold: bool) -> list[tuple[str, float, float, float]]:
    """Name, median wall s, least wall s and median processor s of each start."""
    reading = [python, "-m", "fer_edge", "run", "--source", clip, "--bundle", str(bundle), "--jsonl", "-"]
    rows = []
    for name, line, until in (
        ("start to the first reading, warm", reading, True),
        ("`--help`", [python, "-m", "fer_edge", "--help"], False),
    ):
        before = os.times()
        times = [start_s(line, until) for _ in range(n)]
        after = os.times()
        cpu = statistics.median(cpu for _, cpu in times)
        if not until:  # it has ended: counted with the children
            used = after.children_user + after.children_system - before.children_user - before.children_system
            cpu = used / n
        rows.append((name, statistics.median(wall for wall, _ in times), min(wall for wall, _ in times), cpu))
    if is_cold:
        subprocess.run(["sync"], check=True)
        Path("/proc/sys/vm/drop_caches").write_text("3\n")
        wall, cpu = start_s(reading, True)
        rows.append(("start to the first reading, nothing in the page cache (one)", wall, wall, cpu))
    return rows


def page(found: dict[str, object], command: str) -> str:
    """The results as Markdown."""
    return "\n".join(
        [
            "# Memory and start",
            "",
            f"`{command}`, {machine()}. MiB of a fresh process. *Own* is anonymous memory; *files* are mapped pages of"
            " libraries, which all processes share and the system may take at any time; PSS counts a shared page"
            " as its share.",
            "",
            str(found["runs"]),
            "",
            "## What each step takes",
            "",
            str(found["steps"]),
            "",
            "## What is not imported",
            "",
            "Modules by themselves, more than Python alone; what a run did import before, and what it could.",
            "",
            str(found["apart"]),
            "",
            "## Start",
            "",
            "Wall clock on a shared machine, and processor time, which others disturb less.",
            "",
            str(found["starts"]),
            "",
        ]
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--clip", type=Path, action="append", default=[], help="measured too; nothing of it is kept")
    parser.add_argument("--n", type=int, default=3, help="runs of each kind, and five times as many starts")
    parser.add_argument("--cold", action="store_true", help="empties the page cache of the whole machine once; as root")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    bundle, python = arguments.bundle.resolve(), sys.executable
    with tempfile.TemporaryDirectory() as name:
        clip = str(Path(name) / "drawn.mp4")
        draw(Path(clip))
        of_runs = runs(python, bundle, clip, [path.resolve() for path in arguments.clip], Path(name), arguments.n)
        of_steps = steps(python, bundle, clip)
        of_apart = apart(python)
        of_starts = starts(python, bundle, clip, 5 * arguments.n, arguments.cold)
    lines = ["| run | peak | at the end | own | files | PSS | bar |", "|---|---|---|---|---|---|---|"]
    is_missed = False
    for name, taken in of_runs:
        bar = BAR_SENDING_MIB if "MQTT" in name else BAR_MIB
        is_missed |= taken.peak > bar and name != KEPT_ROW
        verdict = "none" if name == KEPT_ROW else f"{bar:g}: {'met' if taken.peak <= bar else '**not met**'}"
        lines.append(
            f"| {name} | {taken.peak:.1f} | {taken.resident:.1f} | {taken.own:.1f} | {taken.files:.1f} | "
            f"{taken.pss:.1f} | {verdict} |"
        )
    found: dict[str, object] = {"runs": "\n".join(lines)}
    lines = [
        "| step | more resident | of that own | files | resident after it | peak so far |",
        "|---|---|---|---|---|---|",
    ]
    before = [0.0] * len(FIELDS)
    for name, values in of_steps:
        more = [after - old for after, old in zip(values, before, strict=True)]
        lines.append(
            f"| {name} | {more[1]:+.1f} | {more[2]:+.1f} | {more[3]:+.1f} | {values[1]:.1f} | {values[0]:.1f} |"
        )
        before = values
    found["steps"] = "\n".join(lines)
    lines = ["| module | resident | own | processor ms |", "|---|---|---|---|"]
    lines += [f"| `{name}` | {resident:+.1f} | {own:+.1f} | {ms:.0f} |" for name, resident, own, ms in of_apart]
    found["apart"] = "\n".join(lines)
    bars = (BAR_WARM_S, BAR_HELP_S, BAR_COLD_S)
    lines = ["| | wall s, median | wall s, least | processor s | bar |", "|---|---|---|---|---|"]
    for (name, wall, least, cpu), bar in zip(of_starts, bars, strict=False):
        is_missed |= cpu > bar
        met = "met" if wall <= bar else "met in processor time" if cpu <= bar else "**not met**"
        lines.append(f"| {name} | {wall:.2f} | {least:.2f} | {cpu:.2f} | {bar:g} s: {met} |")
    found["starts"] = "\n".join(lines)
    clips = " ".join(f"--clip {path.name}" for path in arguments.clip)
    command = f"python benchmarks/memory.py {arguments.bundle} {clips}{' --cold' if arguments.cold else ''}"
    text = page(found, " ".join(command.split()))
    write(arguments.out, text)
    print(text)
    return int(is_missed)


if __name__ == "__main__":
    sys.exit(main())
