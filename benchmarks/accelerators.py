"""What the vendors' compilers that can be had make of an export: Vela (Arm Ethos-U) and RKNN, installed by hand before.

    python -m venv build/compilers/vela && build/compilers/vela/bin/pip install ethos-u-vela==5.2.0
    python benchmarks/accelerators.py fer48 hawqc_mbv2 --vela build/compilers/vela/bin/vela
    python benchmarks/accelerators.py fer48 hawqc_mbv2 --rknn build/compilers/rknn/bin/python   # rknn-toolkit2 2.5.0

The numbers are the compilers': which operators Vela places where, and its own estimate of speed; what RKNN's simulator
answers to the pictures of check.npz. Nothing ran on an NPU.
"""

from __future__ import annotations

import argparse
import csv
import re
import subprocess
import tempfile
from pathlib import Path

from fer_host.export.export import ExportRequest, export
from written import kept, write

RESULT = Path(__file__).parent / "results" / "accelerators.md"
CONFIGS = {"ethos-u": ("ethos-u55-128", "ethos-u55-256"), "imx": ("ethos-u65-256",)}
VELA, RKNN = "Vela", "RKNN"
_PLACED = re.compile(r"^(CPU|NPU) operators = (\d+)", re.MULTILINE)


def compiled(vela: Path, network: Path, config: str) -> list[str]:
    """One row: operators on the NPU and on the CPU, peak memory and the estimate of one inference."""
    with tempfile.TemporaryDirectory() as folder:
        command = [vela, "--accelerator-config", config, "--show-cpu-operations", "--output-dir", folder, network]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        placed = {name: int(n) for name, n in _PLACED.findall(done.stdout)}
        (summary,) = Path(folder).glob("*_summary_*.csv")
        with summary.open(newline="") as file:
            (figures,) = csv.DictReader(file)
        (made,) = Path(folder).glob("*_vela.tflite")
        size = made.stat().st_size
    n = sum(placed.values())
    return [
        f"{placed.get('NPU', 0)} of {n}",
        f"{placed.get('NPU', 0) / n:.1%}",
        f"{size / 1000:.0f} kB",
        f"{float(figures['sram_memory_used']):.0f} KiB",
        f"{1000 * float(figures['inference_time']):.2f} ms",
    ]


def simulated(python: Path, folder: Path) -> str:
    """The export's own compile.py: mean cosine of the int8 simulator's logits with those in float."""
    done = subprocess.run([python.absolute(), "compile.py"], cwd=folder, capture_output=True, text=True, check=True)
    return re.findall(r"mean cosine of the logits (\S+)", done.stdout)[-1]


def main() -> None:
    """Exports, compiles, and writes the tables; rows of other networks stay."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument("--vela", type=Path, metavar="PROGRAM")
    parser.add_argument("--rknn", type=Path, metavar="PYTHON", help="of the environment that has rknn-toolkit2")
    arguments = parser.parse_args()
    rows, rockchip = kept(RESULT, VELA), kept(RESULT, RKNN)
    with tempfile.TemporaryDirectory() as folder:
        for model in arguments.models:
            if arguments.rknn is not None:
                done = export(ExportRequest(model, "rknn", Path(folder) / f"{model}-rknn", quiet=True))
                digest = done.document.weights_sha256[:12]
                rockchip[model] = [model, "rk3588", simulated(arguments.rknn, done.path), f"`{digest}`"]
                print(" | ".join(rockchip[model]), flush=True)
            for name, configs in CONFIGS.items() if arguments.vela is not None else ():
                done = export(ExportRequest(model, name, Path(folder) / f"{model}-{name}", quiet=True))
                network = done.path / f"{model}.tflite"
                for config in configs:
                    key = f"{model}, {config}"
                    digest = done.document.weights_sha256[:12]
                    rows[key] = [key, f"`{name}`", *compiled(arguments.vela, network, config), f"`{digest}`"]
                    print(" | ".join(rows[key]), flush=True)
    head = ["network, NPU", "`--for`", "operators on the NPU", "share", "compiled file", "SRAM", "estimate", "weights"]
    lines = [
        "# Compiled for accelerators",
        "",
        "`benchmarks/accelerators.py`, with the versions that `host/recipes/accelerators` names. Nothing ran on "
        "an NPU.",
        "",
        f"## {VELA}",
        "",
        "Vela counts a fused activation as an operator of its own. File, memory and time are what Vela says, the time "
        "by its built-in system configuration: an estimate.",
        "",
        f"| {' | '.join(head)} |",
        "|---" * len(head) + "|",
        *(f"| {' | '.join(rows[key])} |" for key in sorted(rows)),
        "",
        f"## {RKNN}",
        "",
        "Quantized on the export's `calibration.npy`, compiled, and the toolkit's simulator asked the eight pictures "
        "of `check.npz`: mean cosine of its logits with those in float.",
        "",
        "| network | platform | cosine | weights |",
        "|---|---|---|---|",
        *(f"| {' | '.join(rockchip[key])} |" for key in sorted(rockchip)),
        "",
    ]
    write(RESULT, "\n".join(lines))


if __name__ == "__main__":
    main()
