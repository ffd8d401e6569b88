"""A training with large pictures gives freed blocks back; small ones, and what the user set, stay as they are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fer_host.commands.options import recipe_to_train
from fer_host.train import blocks

PROGRAM = """
import json, sys
from fer_host.train.blocks import LARGE_PX, keep_large_blocks_apart

assert "torch" not in sys.modules
done = keep_large_blocks_apart(LARGE_PX if sys.argv[1] == "large" else LARGE_PX - 1)

import torch

def resident_mib():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 / 2**20

def block():
    return torch.ones(2 * 2**20)  # 8 MiB

def flags(pointer):
    found = False
    for line in open("/proc/self/smaps"):
        words = line.split()
        if "-" in words[0] and not words[0].endswith(":"):
            low, high = (int(each, 16) for each in words[0].split("-"))
            found = low <= pointer < high
        elif found and words[0] == "VmFlags:":
            return words[1:]
    raise SystemExit("no such mapping")

del_first = block()
del del_first  # from here on glibc would take blocks of that size from its heap
kept = [(block(), torch.ones(8192)) for _ in range(16)]  # 32 KiB behind each
large = resident_mib()
is_huge = "hg" in flags(kept[-1][0].data_ptr())
kept = [pair[1] for pair in kept]
print(json.dumps({"done": done, "given_back": large - resident_mib(), "huge": is_huge}))
"""


def measured(px: str, **more: str) -> dict[str, float]:
    words = ("MALLOC_", "GLIBC_", "THP_MEM")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(words)}
    line = [sys.executable, "-c", PROGRAM, px]
    done = subprocess.run(line, env=environment | more, capture_output=True, text=True, check=True, timeout=300)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def test_large_pictures_give_back_their_blocks() -> None:
    found = measured("large")
    assert found["done"]
    assert found["given_back"] > 110  # of 128 MiB
    if Path("/sys/kernel/mm/transparent_hugepage").is_dir():
        assert found["huge"]


def test_small_pictures_stay_in_the_heap() -> None:
    found = measured("small")
    assert not found["done"]
    assert found["given_back"] < 64
    assert not found["huge"]


def test_what_the_user_set_stays() -> None:
    found = measured("large", MALLOC_ARENA_MAX="8")
    assert not found["done"]
    assert not found["huge"]


@pytest.mark.parametrize(("recipe", "px"), [("paper_mobilenet_v2", 224), ("hawqc_mbv2", 96)])
def test_a_command_that_trains_looks_at_its_recipes_largest_input(
    monkeypatch: pytest.MonkeyPatch, recipe: str, px: int
) -> None:
    seen: list[int] = []
    monkeypatch.setattr(blocks, "keep_large_blocks_apart", seen.append)
    assert recipe_to_train(recipe).id == recipe
    assert seen == [px]
