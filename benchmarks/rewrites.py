"""Ways to write the blocks that int8 cannot hold, or holds slowly, compared on the interpreter.

Each way stands between two convolutions, goes through the whole chain, and is timed against the same two convolutions
alone; all of a block's ways are timed in turns in one process. ``python benchmarks/rewrites.py [BLOCK …]`` writes
benchmarks/results/rewrites.md (all blocks: about ten minutes on two cores).
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import thread_time_ns

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from fer_host.convert import int8, onnx_export, rewrites, saved_model, tflite
from fer_host.errors import HostError
from fer_host.models.blocks import Mish
from fer_host.tflite import ranges
from fer_host.tflite.arithmetic import not_int8
from fer_host.tflite.inspection import inspect_tflite
from fer_host.tflite.run import check_runs, open_interpreter, run_tflite
from written import write

RESULT = Path(__file__).parent / "results" / "rewrites.md"
WEIGHTS = "0" * 64
N_INPUTS, ROUNDS = 32, 400
# Measured once, by hand, on two Sapphire Rapids cores; a whole network takes minutes to convert in each form.
IN_A_NETWORK = (
    "The channel shuffle in a whole network: `shufflenet_ldam` int8 takes 1.76 ms with the network's own reshape and "
    "transpose (78 TRANSPOSE), 1.89 ms with one transpose on the last axis (61 TRANSPOSE), 1.88 ms with that and an "
    "identity convolution that brings the channels back to the last axis (16 TRANSPOSE): processor time, one process, "
    "beside hawqc_mbv2's 0.94 ms. With a gather, onnx2tf had taken 11 GB and not ended after six minutes. So it stays."
)


class As(nn.Module):
    """A function as a module that ``fer_host.convert.rewrites`` leaves alone."""

    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """What the function gives."""
        return self.function(x)


def interleave(x: torch.Tensor) -> torch.Tensor:
    n, c, h, w = (int(size) for size in x.shape)
    return x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)


def interleave_last(x: torch.Tensor) -> torch.Tensor:
    n, c, h, w = (int(size) for size in x.shape)
    halves = x.permute(0, 2, 3, 1).reshape(n, h * w, 2, c // 2)
    return halves.transpose(2, 3).reshape(n, h, w, c).permute(0, 3, 1, 2)


def order(channels: int) -> torch.Tensor:
    return torch.arange(channels).view(2, channels // 2).t().flatten()


def permuting_conv(channels: int) -> nn.Module:
    conv = nn.Conv2d(channels, channels, 1, bias=False)
    conv.weight.data = torch.eye(channels)[order(channels)].view(channels, channels, 1, 1)
    return conv


def tree_of_maxima(x: torch.Tensor) -> torch.Tensor:
    while int(x.shape[1]) > 1:
        half = int(x.shape[1]) // 2
        rest = x[:, 2 * half :]
        x = torch.maximum(x[:, :half], x[:, half : 2 * half])
        x = torch.cat((x, rest), dim=1) if int(rest.shape[1]) else x
    return x


class Untouched(nn.Conv2d):
    """A convolution that the export leaves as it is."""


def large_depthwise(channels: int) -> nn.Conv2d:
    torch.manual_seed(1)
    return Untouched(channels, channels, 7, 1, 3, groups=channels, bias=False)


def mean_conv(channels: int) -> nn.Module:
    conv = nn.Conv2d(channels, 1, 1, bias=False)
    nn.init.constant_(conv.weight, 1 / channels)
    return conv


def slopes(channels: int) -> torch.Tensor:
    return torch.linspace(0.1, 0.4, channels)


def two_relus(slope: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    return torch.relu(x) - slope.view(1, -1, 1, 1) * torch.relu(-x)


def zero_padded_pool(x: torch.Tensor) -> torch.Tensor:
    return functional.max_pool2d(functional.pad(x, (1, 1, 1, 1)), 3, 2)


@dataclass(frozen=True)
class Block:
    """One block: its input, and the ways to write it; the first is the block as the network has it."""

    title: str
    channels: int
    side: int
    out_channels: int
    ways: dict[str, Callable[[], nn.Module]]
    relu_before: bool = False


def prelu_ways(channels: int) -> dict[str, Callable[[], nn.Module]]:
    return {
        "PRELU": lambda: As(lambda x: functional.prelu(x, slopes(channels))),
        "max(x, a x)": lambda: rewrites.MaximumPrelu(slopes(channels)),
        "a x + (1 - a) relu(x)": lambda: rewrites.ReluPrelu(slopes(channels)),
        "relu(x) - a relu(-x)": lambda: As(partial(two_relus, slopes(channels))),
    }


BLOCKS = {
    "shuffle": Block(
        "channel shuffle",
        116,
        12,
        116,
        {
            "reshape and transpose, channels first": lambda: As(interleave),
            "reshape and transpose, channels last": lambda: As(interleave_last),
            "gather": lambda: As(lambda x: x[:, order(116)]),
            "1x1 convolution with a permutation": lambda: permuting_conv(116),
        },
    ),
    "prelu": Block("PReLU, one slope", 58, 24, 58, prelu_ways(1)),
    "prelu-channels": Block("PReLU, a slope per channel", 128, 12, 128, prelu_ways(128)),
    "channel-max": Block(
        "maximum over channels",
        116,
        12,
        1,
        {
            "REDUCE_MAX": lambda: As(lambda x: x.amax(dim=1, keepdim=True)),
            "max-pool along the channels": lambda: rewrites.PooledChannelMax(),
            "tree of MAXIMUM": lambda: As(tree_of_maxima),
        },
    ),
    "channel-mean": Block(
        "mean over channels",
        116,
        12,
        1,
        {
            "MEAN": lambda: As(lambda x: x.mean(dim=1, keepdim=True)),
            "1x1 convolution with 1/C": lambda: mean_conv(116),
        },
    ),
    "global-max": Block(
        "maximum of a map",
        116,
        12,
        116,
        {
            "REDUCE_MAX": lambda: As(lambda x: x.amax(dim=(2, 3), keepdim=True)),
            "max-pool over the map": lambda: rewrites.PooledGlobalMax(),
        },
    ),
    "mish": Block(
        "Mish",
        256,
        6,
        256,
        {
            "x tanh(softplus(x))": lambda: As(Mish().forward),
            "x (1 - u) / (1 + u), u = (1 - sigmoid(x))^2": lambda: rewrites.SigmoidMish(),
        },
    ),
    "depthwise": Block(
        "depthwise convolution 7x7",
        170,
        6,
        170,
        {
            "DEPTHWISE_CONV_2D": lambda: large_depthwise(170),
            "bands of its rows, added": lambda: rewrites.BandedDepthwise(large_depthwise(170)),
        },
    ),
    "stem-pool": Block(
        "3x3 max-pool, stride 2, border not counted",
        24,
        48,
        24,
        {
            "pad with the lowest number": lambda: As(lambda x: functional.max_pool2d(x, 3, 2, 1)),
            "repeat the border": lambda: rewrites.BorderMaxPool(3, 2, 1),
            "pad with zero (exact after ReLU only)": lambda: As(zero_padded_pool),
        },
        relu_before=True,
    ),
}


@dataclass(frozen=True)
class Row:
    """One way, measured."""

    way: str
    max_abs: float | None
    not_int8: str
    sqnr_db: float | None
    us: float | None
    note: str = ""


def network(block: Block, way: nn.Module | None) -> nn.Module:
    """Two 1x1 convolutions with the block between them; None leaves the block out."""
    torch.manual_seed(0)
    first = nn.Conv2d(8, block.channels, 1)
    last = nn.Conv2d(block.channels if way is None else block.out_channels, 8, 1)
    middle: list[nn.Module] = [nn.ReLU()] if block.relu_before else []
    middle += [] if way is None else [way]
    return nn.Sequential(first, *middle, last, nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()


def convert(net: nn.Module, side: int, inputs: NDArray[np.float32], folder: Path) -> tuple[Path, Path]:
    """The whole chain: float and int8 files."""
    onnx_export.export_onnx(net, (side, side), folder / "a.onnx", channels=8)
    onnx_export.simplify_onnx(folder / "a.onnx", folder / "s.onnx")
    saved_model.to_saved_model(folder / "s.onnx", folder / "sm", folder / "sm.log")
    tflite.to_float_tflite(folder / "sm", folder / "f.tflite", folder / "f.log")
    observed = ranges.collect_ranges(folder / "f.tflite", (row[None] for row in inputs), weights_sha256=WEIGHTS)
    int8.quantize_int8(folder / "f.tflite", observed, folder / "i.tflite", weights_sha256=WEIGHTS)
    check_runs(folder / "i.tflite")
    return folder / "f.tflite", folder / "i.tflite"


def measure(block: Block, scratch: Path) -> list[Row]:
    """Every way of one block."""
    inputs = np.random.default_rng(0).normal(0, 1, (N_INPUTS, block.side, block.side, 8)).astype(np.float32)
    reference = onnx_export.run_torch(network(block, next(iter(block.ways.values()))()), inputs)
    files: dict[str, Path] = {}
    rows: dict[str, Row] = {}
    for number, (name, way) in enumerate([("", lambda: None), *block.ways.items()]):
        folder = scratch / str(number)
        folder.mkdir(parents=True)
        print(f"{block.title}: {name or 'nothing'}", file=sys.stderr, flush=True)
        try:
            float_file, int8_file = convert(network(block, way()), block.side, inputs, folder)
        except HostError as error:
            reason = str(error).split("; ")[0].replace(str(folder), "").replace("|", "/")
            rows[name] = Row(name, None, "", None, None, reason)
            continue
        files[name] = int8_file
        found = run_tflite(int8_file, inputs)
        noise = float(np.square(found - reference).sum()) if name else 0.0
        left = sorted({note.type for note in not_int8(inspect_tflite(int8_file)) if "converts" not in note.reason})
        rows[name] = Row(
            name,
            float(np.abs(run_tflite(float_file, inputs) - reference).max()) if name else 0.0,
            ", ".join(left) or "none",
            10 * float(np.log10(np.square(reference).sum() / noise)) if noise else None,
            None,
        )
    times = in_turns(files, inputs)
    base = times.pop("")
    return [
        Row(row.way, row.max_abs, row.not_int8, row.sqnr_db, times[name] - base if name in times else None, row.note)
        for name, row in rows.items()
        if name
    ]


def in_turns(files: dict[str, Path], inputs: NDArray[np.float32]) -> dict[str, float]:
    """Median time of each in microseconds, one invocation of each a round."""
    opened = {name: open_interpreter(path) for name, path in files.items()}
    for interpreter in opened.values():
        details = interpreter.get_input_details()[0]
        value = tflite.quantize(inputs[:1], details["dtype"], *details["quantization"])
        interpreter.set_tensor(details["index"], value)
        for _ in range(20):
            interpreter.invoke()
    taken: dict[str, list[int]] = {name: [] for name in opened}
    for _ in range(ROUNDS):
        for name, interpreter in opened.items():
            started = thread_time_ns()
            interpreter.invoke()
            taken[name].append(thread_time_ns() - started)
    return {name: float(np.median(values)) / 1000 for name, values in taken.items()}


def heading(block: Block) -> str:
    """Of its table."""
    return f"{block.title} ({block.side}x{block.side}x{block.channels})"


def markdown(block: Block, rows: list[Row]) -> str:
    """One block's table."""
    lines = [
        f"## {heading(block)}",
        "",
        "| way | float: largest difference | operators left in float | int8: SQNR | time it adds |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        if row.max_abs is None:
            lines.append(f"| {row.way} | {row.note} | | | |")
            continue
        sqnr = "exact" if row.sqnr_db is None else f"{row.sqnr_db:.1f} dB"
        lines.append(f"| {row.way} | {row.max_abs:.1e} | {row.not_int8} | {sqnr} | {row.us:.0f} µs |")
    return "\n".join([*lines, ""])


def main() -> None:
    """Measures the blocks named, or all, and writes the tables."""
    chosen = sys.argv[1:] or list(BLOCKS)
    tables = {}
    for name in chosen:
        with tempfile.TemporaryDirectory() as scratch:
            tables[name] = markdown(BLOCKS[name], measure(BLOCKS[name], Path(scratch)))
        print(tables[name], flush=True)
    if RESULT.is_file():  # tables of blocks that were not measured now stay
        kept = {part.split("\n")[0]: f"## {part}" for part in RESULT.read_text().split("\n## ")[1:]}
        for name, block in BLOCKS.items():
            tables.setdefault(name, kept.get(heading(block), ""))
    if set(tables) == set(BLOCKS):
        head = (
            "# Ways to write a block for int8\n\n"
            "`.venv/bin/python benchmarks/rewrites.py`: each way between two 1x1 convolutions (8 channels in and out) "
            "through the whole chain, ai-edge-quantizer's static int8, the interpreter's default kernels (XNNPACK), "
            f"one thread, median processor time of {ROUNDS} runs in turns, less the time without the block. SQNR: of "
            f"the int8 logits against torch's on {N_INPUTS} inputs of noise. Times are of the machine it ran on; "
            "compare within a table. Where a table says so, they were taken by the wall clock.\n\n"
            f"{IN_A_NETWORK}\n\n"
        )
        write(RESULT, head + "\n".join(tables[name].rstrip("\n") + "\n" for name in BLOCKS if tables[name]))


if __name__ == "__main__":
    main()
