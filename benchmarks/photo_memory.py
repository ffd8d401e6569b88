"""What photos leave in memory: 64 of them, three at a time, with and without what program/allocator.py does.

.venv-device/bin/python benchmarks/photo_memory.py dist/hawqc_mbv2 build/photos
    (needs gcc; writes results/photo_memory.md)
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from faults import free_port
from longlife.photos import photos_of
from longlife.watch import Page, process
from written import write

RESULTS = Path(__file__).parent / "results" / "photo_memory.md"
AT_A_TIME = 3
NO_TRIM = "int malloc_trim(unsigned long n) { (void)n; return 0; }\n"  # preloaded: nothing is given back
PLAIN = {"MALLOC_ARENA_MAX": str(8 * (os.cpu_count() or 1))}  # glibc's own rule; a user's setting turns ours off


def measured(bundle: Path, photos: list[tuple[str, bytes]], n: int, environment: dict[str, str]) -> list[float]:
    """MB of ``fer-edge web``: resident before, resident and anonymous after, and the seconds."""
    page = Page(free_port())
    line = [sys.executable, "-m", "fer_edge.cli", "web", "--bundle", str(bundle), "--threads", "1"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server = subprocess.Popen([*line, "--port", str(page.port)], env=os.environ | environment, **quiet)
    try:
        while page.ask("GET", "/")[0] != 200:
            time.sleep(0.1)
        before = process(server.pid)["rss_bytes"]
        began_s = time.monotonic()
        turn, lock = iter(range(n)), threading.Lock()

        def send() -> None:
            while True:
                with lock:
                    number = next(turn, None)
                if number is None:
                    return
                while page.ask("POST", "/api/photo", photos[number % len(photos)][1])[0] != 200:
                    time.sleep(0.05)  # two are being read

        threads = [threading.Thread(target=send) for _ in range(AT_A_TIME)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seconds = time.monotonic() - began_s
        time.sleep(2)
        after = process(server.pid)
        return [before / 1e6, after["rss_bytes"] / 1e6, after["anon_bytes"] / 1e6, seconds]
    finally:
        server.terminate()
        server.wait()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("photos", type=Path, help="of fer-host sample-photo DIR")
    parser.add_argument("--n", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3, help="each setting by turns, so many times")
    arguments = parser.parse_args()
    photos = photos_of(arguments.photos)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "no_trim.c").write_text(NO_TRIM)
        library = Path(folder) / "no_trim.so"
        line = ["cc", "-shared", "-fPIC", "-o", str(library), str(Path(folder) / "no_trim.c")]
        subprocess.run(line, check=True)
        kept = {"LD_PRELOAD": str(library)}
        settings = {"as it is": {}, "one heap alone": kept, "giving back alone": PLAIN, "neither": PLAIN | kept}
        found: dict[str, list[list[float]]] = {name: [] for name in settings}
        for _ in range(arguments.rounds):
            for name, environment in settings.items():
                found[name].append(measured(arguments.bundle.resolve(), photos, arguments.n, environment))
                print(name, found[name][-1], flush=True)
    text = f"# Memory after photos\n\nWritten by `benchmarks/photo_memory.py`: {arguments.n} photos of 0.3 to 12 "
    text += f"megapixels, {AT_A_TIME} at a time, to `fer-edge web`; rounds: {arguments.rounds}; {platform.machine()}, "
    text += f"{os.cpu_count()} cores, glibc {platform.libc_ver()[1]}. MB at rest, the least and the most.\n\n"
    text += "| setting | before, MB | after, MB | anonymous after, MB |\n|---|---|---|---|\n"
    for name, rows in found.items():
        ends = [(f"{min(r[i] for r in rows):.1f}", f"{max(r[i] for r in rows):.1f}") for i in range(3)]
        cells = [low if low == high else f"{low} to {high}" for low, high in ends]
        text += f"| {name} | {' | '.join(cells)} |\n"
    write(RESULTS, text)
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
