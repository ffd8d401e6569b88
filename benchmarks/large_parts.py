"""What ``large_data.py`` measures in a process of its own: ``python large_parts.py NAME SHARDS …`` prints JSON."""

from __future__ import annotations

import hashlib
import json
import resource
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from large_watch import Own

STARTED = time.monotonic()
BATCH, SMALL_BATCH = 64, 16  # up to 112 px, and above
DEFAULT_EVERY = 150  # steps between checkpoints, as fer-host train has it


def cpu_s(who: int) -> float:
    """CPU time of this process, or of its children that ended."""
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime


def case(shards: Path, px: int, batch: int = 0) -> Any:
    """MobileNetV2's recipe for color pictures of 224 px as they lie, at a size of its input."""
    from dataclasses import replace

    from fer_host.recipe.recipe import load_recipe
    from fer_host.recipe.train import Phase
    from fer_host.train.rows import train_split
    from fer_host.train.run import training_data

    paper = load_recipe("paper_mobilenet_v2")
    cycle = replace(paper.train[1], batch=batch or (BATCH if px <= 112 else SMALL_BATCH), phases=(Phase(1, px),))
    recipe = replace(paper, size_px=px)
    return recipe, cycle, train_split(training_data(recipe, shards, quiet=True), recipe, cycle)


def loader(shards: Path, px: int, n: int) -> dict[str, Any]:
    """Batches decoded, augmented and thrown away."""
    from fer_host.train.batches import Batches
    from fer_host.train.parallel import ALONE

    recipe, cycle, rows = case(shards, px)
    run, count = Batches(rows, cycle, recipe.input, ALONE, 0), 0
    began = time.monotonic()
    batches = iter(run)
    for _ in batches:
        count += cycle.batch
        if count >= n:
            break
    wall = time.monotonic() - began
    del batches
    assert run.ahead is not None
    workers = run.ahead.workers
    run.ahead = None
    return {"images": count, "wall_s": wall, "workers": workers, "cpu_s": cpu_s(resource.RUSAGE_CHILDREN)}


def steps(shards: Path, px: int, n: int, state: Path, every: int = DEFAULT_EVERY, batch: int = 0) -> dict[str, Any]:
    """A step loop as ``fer-host train`` runs it."""
    from fer_host.train.blocks import keep_large_blocks_apart

    keep_large_blocks_apart(px)
    import torch

    from fer_host.models.weights import build_network
    from fer_host.train import loop
    from fer_host.train.batches import Batches

    seen: dict[str, Any] = {}

    class Watched(Batches):
        def __iter__(self) -> Any:
            seen["run"] = self
            for batch in super().__iter__():
                seen.setdefault("first_s", time.monotonic() - STARTED)
                seen.setdefault("first_cpu_s", time.process_time())
                seen.setdefault("waited_before_s", self.ahead.waited_s if self.ahead else 0.0)
                seen.setdefault("began", (time.monotonic(), time.process_time()))
                yield batch

    loop.Batches = Watched  # type: ignore[misc]
    with Own() as peak:
        recipe, cycle, rows = case(shards, px, batch)
        time.sleep(0.1)
        before = asdict(peak)  # torch, the kit and the set's columns, before any network
        torch.manual_seed(0)
        average, _ = loop.train(
            build_network(recipe),
            rows,
            cycle,
            normalize=recipe.input,
            checkpoint=state,
            on_epoch=lambda *_: None,
            stop_after=n,
            checkpoint_every=every,
        )
    wall, cpu = (now - then for now, then in zip((time.monotonic(), time.process_time()), seen["began"], strict=True))
    ahead = seen["run"].ahead
    waited = ahead.waited_s - seen["waited_before_s"]
    del seen["run"]
    digest = hashlib.sha256()
    for value in average.state_dict().values():
        digest.update(value.contiguous().numpy().tobytes())
    return {
        "set": len(rows.images), "first_s": seen["first_s"], "first_cpu_s": seen["first_cpu_s"], "wall_s": wall,
        "cpu_s": cpu, "batch": cycle.batch, "images": n * cycle.batch, "waited_s": waited, "before": before,
        "peak": asdict(peak), "worker_mib": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024,
        "workers": ahead.workers, "worker_cpu_s": cpu_s(resource.RUSAGE_CHILDREN), "digest": digest.hexdigest(),
    }  # fmt: skip


def graph(px: int, batch: int) -> dict[str, Any]:
    """What torch keeps for the backward pass of one batch: the network's own activations, each counted once."""
    from dataclasses import replace

    import torch

    from fer_host.models.weights import build_network
    from fer_host.recipe.recipe import load_recipe
    from fer_host.train.lean import lean

    torch.set_num_threads(1)
    network = build_network(replace(load_recipe("paper_mobilenet_v2"), size_px=px)).to(
        memory_format=torch.channels_last
    )
    own = {each.untyped_storage().data_ptr() for each in network.state_dict().values()}
    x = torch.rand(batch, 3, px, px).contiguous(memory_format=torch.channels_last)

    def kept_mib() -> float:
        kept: dict[int, int] = {}

        def keep(tensor: torch.Tensor) -> torch.Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in own:
                kept[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            loss = network.train()(x).sum()
        assert loss.requires_grad
        return sum(kept.values()) / 2**20

    plain_mib = kept_mib()
    with lean(network):
        return {"plain_mib": plain_mib, "kept_mib": kept_mib()}


def cost(shard: Path) -> dict[str, Any]:
    """CPU time of each thing that is done to a picture, by one thread, without a worker around it."""
    import numpy as np
    import torch
    from array_record.python.array_record_module import ArrayRecordReader

    from fer_host.data.augment import augment_batch, normalized, planes
    from fer_host.data.streamed import square
    from fer_host.device_pipeline import decode_photo
    from fer_host.recipe.recipe import load_recipe

    torch.set_num_threads(1)
    recipe = load_recipe("paper_mobilenet_v2")
    reader = ArrayRecordReader(str(shard), "readahead_buffer_size:0,max_parallelism:0")
    order = np.random.default_rng(0).permutation(reader.num_records())
    found: dict[str, Any] = {}
    for px, batch in ((224, 16), (96, 16)):
        spent, n = [0.0] * 4, 0
        for start in range(0, 64, batch):
            times = [time.process_time()]
            records = [bytes(reader.read([int(i)])[0]) for i in order[start : start + batch]]
            times.append(time.process_time())
            pictures = [decode_photo(record, "picture").image for record in records]
            times.append(time.process_time())
            squares = np.stack([square(picture, 224, "rgb") for picture in pictures])
            times.append(time.process_time())
            draws = torch.Generator().manual_seed(start)
            normalized(augment_batch(planes(squares), px, recipe.train[1].augment, draws), recipe.input).contiguous()
            times.append(time.process_time())
            if start:  # the first one warms up
                spent = [total + after - before for total, before, after in zip(spent, times, times[1:], strict=False)]
                n += batch
        names = ("read_ms", "decode_ms", "square_ms", "augment_ms")
        found[str(px)] = {name: 1000 * value / n for name, value in zip(names, spent, strict=True)} | {"n": n}
    found["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return found


def main() -> int:
    """One of the above."""
    name, where, *rest = sys.argv[1:]
    if name == "cost":
        found = cost(Path(where))
    elif name == "loader":
        found = loader(Path(where), int(rest[0]), int(rest[1]))
    elif name == "graph":
        found = graph(int(where), int(rest[0]))
    else:
        found = steps(Path(where), int(rest[0]), int(rest[1]), Path(rest[2]), *map(int, rest[3:]))
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
