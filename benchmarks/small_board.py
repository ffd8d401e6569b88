"""Does a run fit a board of 512 MB? ``fer-edge run`` in a cgroup of 128 MB, many frames, with everything it can send.

python benchmarks/small_board.py dist/hawqc_mbv2      (as root; mosquitto; writes results/small_board.md)

The group is made here and removed at the end. What counts against its limit is the process' own memory and the pages
of files that nobody had read before; ``--cold`` empties the page cache first, so that the libraries count too.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clips import machine
from memory import RUN, Taken, draw, free_port
from written import write

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).parent / "results" / "small_board.md"
V1, V2 = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")
LIMIT_MB, FRAMES = 128, 10_000


@contextmanager
def limited(limit_bytes: int) -> Iterator[Path]:
    """A new group of this limit, without swap where the kernel counts it; it goes at the end."""
    is_v1 = V1.is_dir()
    group = (V1 if is_v1 else V2) / f"fer-edge-small-{os.getpid()}"
    group.mkdir()
    try:
        if is_v1:
            (group / "memory.limit_in_bytes").write_text(str(limit_bytes))
            swap = group / "memory.memsw.limit_in_bytes"
        else:
            (group / "memory.max").write_text(str(limit_bytes))
            swap = group / "memory.swap.max"
        if swap.exists():
            swap.write_text(str(limit_bytes) if is_v1 else "0")
        yield group
    finally:
        for _ in range(50):  # until the last process is gone from it
            try:
                group.rmdir()
            except OSError:
                time.sleep(0.2)
            else:
                break


def told(group: Path) -> dict[str, int]:
    """What the kernel counted: the most that was used, how often the limit was met, how many processes it killed."""

    def value(name: str) -> int:
        file = group / name
        return int(file.read_text()) if file.exists() else 0

    def field(name: str, key: str) -> int:
        lines = (line.split() for line in (group / name).read_text().splitlines())
        return next((int(words[1]) for words in lines if words[0] == key), 0)

    if (group / "memory.max_usage_in_bytes").exists():
        most, met = value("memory.max_usage_in_bytes"), value("memory.failcnt")
        return {"most": most, "met": met, "killed": field("memory.oom_control", "oom_kill")}
    return {
        "most": value("memory.peak"),
        "met": field("memory.events", "max"),
        "killed": field("memory.events", "oom_kill"),
    }


def main() -> int:
    """Runs, prints and writes; status 1 where something was killed, failed or ended early."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--limit-mb", type=int, default=LIMIT_MB, help="megabytes of 2^20 bytes")
    parser.add_argument("--frames", type=int, default=FRAMES)
    parser.add_argument("--tiles", default="0", help="as of run; a clip takes 2,3 by itself: ten times the work")
    parser.add_argument("--cold", action="store_true", help="empties the page cache of the whole machine first")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as name, limited(arguments.limit_mb << 20) as group:
        scratch, port = Path(name), free_port()
        draw(scratch / "drawn.mp4")
        (scratch / "mosquitto.conf").write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
        conf, nobody = str(scratch / "mosquitto.conf"), subprocess.DEVNULL
        broker = subprocess.Popen(["mosquitto", "-c", conf], stdout=nobody, stderr=nobody)
        if arguments.cold:
            subprocess.run(["sync"], check=True)
            Path("/proc/sys/vm/drop_caches").write_text("3\n")
        line = ["run", "--source", str(scratch / "drawn.mp4"), "--loop", "--max-frames", str(arguments.frames)]
        line += ["--bundle", str(arguments.bundle.resolve()), "--jsonl", str(scratch / "readings.jsonl")]
        line += ["--tiles", arguments.tiles, "--web", "--web-port", "0", "--metrics"]
        line += ["--mqtt-host", "127.0.0.1", "--mqtt-port", str(port)]
        enter = f'echo $$ > {group}/cgroup.procs && exec "$@"'
        whole = ["sh", "-c", enter, "sh", sys.executable, "-c", RUN, *line]
        try:
            done = subprocess.run(whole, capture_output=True, text=True, check=False, cwd=ROOT)
        finally:
            broker.terminate()
            broker.wait()
        n = len((scratch / "readings.jsonl").read_text().splitlines()) if not done.returncode else 0
        counted = told(group)
    said = next((text for text in done.stderr.splitlines() if text.startswith("TAKEN ")), "")
    is_well = done.returncode == 0 and n == arguments.frames and not counted["killed"] and bool(said)
    if not is_well:
        print(f"small_board: status {done.returncode}, {n} readings, {counted}: {done.stderr[-2000:]}", file=sys.stderr)
        return 1
    taken = Taken(*map(float, said.split()[1:]))
    rows = [
        ("frames read, lines written", f"{n:,}"),
        ("limit of the group, MiB", f"{arguments.limit_mb}"),
        ("most that counted against it, MiB", f"{counted['most'] / (1 << 20):.1f}"),
        ("times that the limit was met", f"{counted['met']}"),
        ("processes killed", f"{counted['killed']}"),
        ("peak RSS of the process, MiB", f"{taken.peak:.1f}"),
        ("RSS at the end, MiB", f"{taken.resident:.1f}"),
        ("of it the process' own, MiB", f"{taken.own:.1f}"),
    ]
    command = f"python benchmarks/small_board.py {arguments.bundle}{' --cold' if arguments.cold else ''}"
    cache = "emptied before" if arguments.cold else "warm: what others had read does not count against the limit"
    text = (
        "# A board of 512 MB\n\n"
        f"`{command}`, {machine()}: `fer-edge run` on a clip of 640 x 480 in a loop, faces followed, `--tiles "
        f"{arguments.tiles}`, with JSON lines, page, metrics and MQTT, in a cgroup of {arguments.limit_mb} MiB; "
        f"{time.monotonic() - started:.0f} s. The page cache was {cache}.\n\n"
        "| of the run | found |\n|---|---|\n" + "\n".join(f"| {name} | {value} |" for name, value in rows) + "\n"
    )
    write(arguments.out, text)
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
