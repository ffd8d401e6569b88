"""Makes the manual's pictures, each at most 150 kB, in docs/pictures.

    python docs/tools/pictures.py plots              networks.png and robustness.png, from benchmarks/results
    python docs/tools/pictures.py demo               demo.jpg: the packaged photo, annotated by fer-edge
    python docs/tools/pictures.py shots FOLDER       web.png, phone.png and photo.png, from what the tests in
                                                     tests/device/sinks/web/test_browser.py leave in build/screenshots
    python docs/tools/pictures.py bench BENCH.html   bench-report.png, by headless Chromium

Only photos that may be passed on are in them: scikit-image's.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

import figures

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "docs" / "pictures"
MOST_BYTES = 150_000


def plots() -> None:
    """Accuracy against size and against time; accuracy under each corruption."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot, ticker

    (zoo,) = figures.tables("zoo")
    rows = [dict(zip(zoo.columns, row, strict=True)) for row in zoo.rows]
    figure, axes = pyplot.subplots(1, 2, figsize=(11, 4.2), sharey=True, layout="constrained")
    for axis, title, place in (
        (axes[0], "file in int8, kB", lambda row: _number(row["int8 bytes"]) / 1000),
        (axes[1], "time in int8, ratio to hawqc_mbv2", lambda row: _number(row["time, int8"])),
    ):
        for row, marker, color in zip(rows, "osD^vPX*<>", pyplot.get_cmap("tab10").colors, strict=False):
            votes = row["labels"].startswith("ferplus8")
            name = f"{row['model'].strip('`')} ({'votes' if votes else 'FER2013'})"
            fill = "full" if votes else "none"
            axis.plot(
                place(row),
                _number(row["accuracy, int8"]),
                marker,
                color=color,
                fillstyle=fill,
                markersize=9,
                label=name,
            )
        axis.set_xlabel(title)
        axis.set_xscale("log")
        axis.xaxis.set_major_formatter(ticker.FormatStrFormatter("%g"))
        axis.xaxis.set_minor_formatter(ticker.NullFormatter())
        axis.margins(x=0.1, y=0.1)
        axis.grid(alpha=0.3, which="both")
    axes[0].set_xticks([250, 500, 1000, 2500, 5000])
    axes[1].set_xticks([0.5, 1, 2, 3])
    axes[0].set_ylabel("accuracy in int8, PublicTest, %")
    figure.legend(*axes[0].get_legend_handles_labels(), title="network (its labels)", loc="outside right center")
    figure.savefig(PICTURES / "networks.png", dpi=110)

    (table,) = (each for each in figures.tables("robustness") if each.heading == "Side by side")
    shown = [row for row in table.rows if str(row[1]).endswith("%")]
    figure, axis = pyplot.subplots(figsize=(8, 6), layout="constrained")
    n = len(table.columns) - 1
    for i, name in enumerate(table.columns[1:]):
        places = [-place + (i - (n - 1) / 2) * -0.8 / n for place in range(len(shown))]
        axis.barh(places, [_number(row[i + 1]) for row in shown], height=0.8 / n, label=name)
    axis.set_yticks([-place for place in range(len(shown))], [row[0] for row in shown], fontsize=8)
    axis.set_xlabel("accuracy, %")
    axis.grid(alpha=0.3, axis="x")
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, 1.08), ncols=n)
    figure.savefig(PICTURES / "robustness.png", dpi=100)


def demo() -> None:
    """The packaged astronaut, read and annotated."""
    command = Path(sys.executable).parent
    with tempfile.TemporaryDirectory() as folder:
        photo, drawn = Path(folder, "astronaut.png"), Path(folder, "demo.jpg")
        subprocess.run([command / "fer-host", "sample-photo", photo], check=True)
        subprocess.run([command / "fer-edge", "image", photo, "--annotate", drawn], check=True)
        _fit(drawn, PICTURES / "demo.jpg")


def shots(folder: str) -> None:
    """The live page on a desktop and on a phone, and a photo that was dropped on it."""
    _fit(Path(folder, "desktop.png"), PICTURES / "web.png")
    _fit(Path(folder, "phone.png"), PICTURES / "phone.png", width_px=390)
    _fit(Path(folder, "two.png"), PICTURES / "photo.png")


def bench(page: str) -> None:
    """The page of ``fer-edge bench --out bench.html``."""
    with tempfile.TemporaryDirectory() as folder:
        shot = Path(folder, "bench.png")
        flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=900,1400"]
        subprocess.run(["chromium", *flags, f"--screenshot={shot}", Path(page).resolve().as_uri()], check=True)
        _fit(shot, PICTURES / "bench-report.png")


def _number(cell: Any) -> float:
    match = re.match(r"[\d.]+", str(cell).replace(",", ""))
    assert match, cell
    return float(match[0])


def _fit(source: Path, target: Path, width_px: int = 1000) -> None:
    """At most so wide, and made smaller until it has at most ``MOST_BYTES``."""
    with Image.open(source) as opened:
        picture = opened.convert("RGB")
    while True:
        if picture.width > width_px:
            picture = picture.resize(
                (width_px, round(picture.height * width_px / picture.width)), Image.Resampling.LANCZOS
            )
        if target.suffix == ".png":
            picture.quantize(256, dither=Image.Dither.NONE).save(target, optimize=True)
        else:
            picture.save(target, quality=88)
        if target.stat().st_size <= MOST_BYTES:
            return
        width_px = int(0.9 * picture.width)


def main() -> int:
    """Runs the one that is named."""
    kinds: dict[str, Callable[..., None]] = {"plots": plots, "demo": demo, "shots": shots, "bench": bench}
    if len(sys.argv) < 2 or sys.argv[1] not in kinds:
        print(f"pictures: expected one of {', '.join(kinds)}", file=sys.stderr)
        return 2
    PICTURES.mkdir(exist_ok=True)
    kinds[sys.argv[1]](*sys.argv[2:])
    return 0


if __name__ == "__main__":
    sys.exit(main())
