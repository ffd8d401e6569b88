"""Memory of this process and of the network in it, from /proc."""

from __future__ import annotations

from pathlib import Path

from fer_edge.board import identify as board
from fer_edge.board.identify import kib_field, read_text
from fer_edge.contract.bench import Memory


def own_bytes(root: Path = Path("/")) -> int | None:
    """This process' anonymous memory: heap, stacks, arenas, not files mapped; None where the kernel shows none."""
    return kib_field(read_text(root / "proc/self/smaps_rollup"), "Anonymous")


def reset_peak(root: Path = Path("/")) -> bool:
    """Starts VmHWM anew (writing 5 to clear_refs, proc(5)); False where that is not allowed."""
    try:
        (root / "proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def measure(model_bytes: int, network_bytes: int | None, root: Path = Path("/")) -> Memory:
    """All figures now. ``arena_bytes`` stays out: no interpreter package tells it.

    Args:
        model_bytes: size of the network's file.
        network_bytes: growth of ``own_bytes`` by opening it and running it once.
        root: of /proc.
    """
    text = read_text(root / "proc/meminfo")
    total, free = kib_field(text, "CmaTotal"), kib_field(text, "CmaFree")
    has_cma = total is not None and free is not None and total > 0
    return Memory(
        model_bytes=model_bytes,
        peak_rss_bytes=board.peak_rss_bytes(root),
        pss_bytes=board.pss_bytes(root),
        network_bytes=network_bytes,
        cma_used_bytes=total - free if has_cma and total is not None and free is not None else None,
        cma_total_bytes=total if has_cma else None,
    )
