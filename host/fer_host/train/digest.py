"""What a training run depends on, as one digest: its state on disk is found by it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from fer_host.data.load import data_digest
from fer_host.files.artifacts import digest_json
from fer_host.models.own import code_sha256, is_own
from fer_host.recipe.recipe import Recipe

# Options that came later: a recipe that does without them keeps its digest, and a run of it resumes.
_UNUSED = {"precision": "float32", "trainable": "all", "faces": None, "mixup": 0.0}
_UNUSED_IN: dict[str, dict[str, object]] = {  # of a cycle's tables
    "schedule": {"of_epochs": None, "decay": 0.0},
    "loss": {"fer7_share": 0.0, "head_shares": (), "with_teachers": ()},
    "augment": {"light": None},
}


def train_digest(recipe: Recipe, data_path: Path) -> str:
    """Short digest of all that training depends on, so that a recipe changed in these parts starts afresh."""
    whole = dataclasses.asdict(recipe)
    if is_own(recipe.network):
        whole["network"] = [Path(recipe.network).name, code_sha256(recipe.network)]
    parts = {
        key: whole[key] for key in ("network", "labels", "size_px", "input", "align", "detector", "train", "prune")
    }
    if recipe.own_labels:
        parts["own"] = [recipe.own_labels, recipe.person]
    if whole["held_out"]:
        parts["held_out"] = whole["held_out"]
    if whole["heads"]:
        parts["heads"] = whole["heads"]
    if whole["input"]["normalize"] is None:
        del whole["input"]["normalize"]
    for cycle in (*parts["train"], *([parts["prune"]["reward"]] if parts["prune"] else [])):
        for name, unused in _UNUSED.items():
            if cycle[name] == unused:
                del cycle[name]
        for table, names in _UNUSED_IN.items():
            for name, off in names.items():
                if cycle[table][name] == off:
                    del cycle[table][name]
    if parts["prune"] and parts["prune"]["round_to"] == 1:
        del parts["prune"]["round_to"]
    return digest_json([parts, data_digest(data_path)])[:12]
