"""Resumable training state on disk: written to a temporary name, then renamed."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fer_edge.contract.whole import whole_file
from fer_host.train.parallel import ALONE, Team


def save_checkpoint(
    path: Path, model: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer, progress: dict[str, Any]
) -> None:
    """Writes all that a resumed run needs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {
        "model": model.state_dict(),
        "average": average.state_dict(),
        "optimizer": optimizer.state_dict(),
        "progress": dict(progress),
    }
    with whole_file(path) as file:
        torch.save(state, file)


def load_checkpoint(
    path: Path,
    model: nn.Module,
    average: nn.Module,
    optimizer: torch.optim.Optimizer,
    progress: dict[str, Any],
    team: Team = ALONE,
) -> bool:
    """Restores a saved state in place; False where there is none. In a team the leader's counts, and all have it."""
    content = team.told(path.read_bytes() if team.leads and path.is_file() else None)
    if content is None:
        return False
    # each is copied to where its own tensor lies
    state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    model.load_state_dict(state["model"])
    average.load_state_dict(state["average"])
    optimizer.load_state_dict(state["optimizer"])
    progress.update(state["progress"])
    return True


def steps_done(path: Path) -> int:
    """Steps behind a saved state; 0 where there is none."""
    return int(torch.load(path, map_location="cpu", weights_only=True)["progress"]["step"]) if path.is_file() else 0
