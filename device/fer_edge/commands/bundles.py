"""``fer-edge bundles``: which bundles are here, which one the commands and the library take, and why."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass

from fer_edge.contract.bundle import open_bundle
from fer_edge.contract.names import printable, shown
from fer_edge.errors import BundleError, EdgeError
from fer_edge.setting.find import Origin, Place, all_places, choose

SCHEMA = "fer-edge/bundles/1"
_WHY: dict[Origin, str] = {
    "given": "--bundle names it",
    "FER_EDGE_BUNDLE": "FER_EDGE_BUNDLE names it",
    "installed": "it is installed, and FER_EDGE_BUNDLE is not set",
    "dist/": "none is installed, and it is the only one in dist/",
    "built-in": "none is installed, and none is in dist/",
}


@dataclass(frozen=True)
class Row:
    """One bundle: what it holds, or why it cannot be used.

    Attributes:
        place: where it is.
        what: model and version; "" where it cannot be read.
        variants: the default one first.
        size_bytes: of all its files.
        problem: in one line; "" for a sound bundle.
    """

    place: Place
    what: str = ""
    variants: tuple[str, ...] = ()
    size_bytes: int = 0
    problem: str = ""


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; gives the exit status: 1 where none can be taken, or the one that is taken is not sound."""
    named = [Place(arguments.bundle, "given")] if arguments.bundle else []
    found = [*named, *all_places()]
    used: Place | None = None
    try:
        used = choose(found)
        why = _WHY[used.origin]
    except BundleError as error:
        why = str(error)
    rows = [_row(place) for place in found]
    print(_document(rows, used, why) if arguments.json else format_table(rows, used, why))
    return int(used is None or bool(rows[found.index(used)].problem))


def _row(place: Place) -> Row:
    try:
        bundle = open_bundle(place.path)
    except EdgeError as error:
        return Row(place, problem=str(error))
    manifest = bundle.manifest
    default = manifest.default_variant
    others = (variant.id for variant in manifest.variants if variant.id != default)
    size = sum(entry.size_bytes for entry in manifest.files.values())
    return Row(place, f"{manifest.model_id} {manifest.version}", (default, *others), size)


def format_table(rows: list[Row], used: Place | None, why: str) -> str:
    """One line per bundle, the one that is taken marked, then the reason."""
    lines = []
    for row in rows:
        mark = "->" if row.place == used else "  "
        about = f"{row.what:28} {row.size_bytes / 1e6:5.1f} MB  {', '.join(row.variants)}"
        lines.append(f"{mark} {row.place.origin:15} {about}\n{'':19}{shown(row.place.path)}")
        if row.problem:
            lines[-1] = f"{mark} {row.place.origin:15} cannot be used: {row.problem}"
    lines.append(f"used: {shown(used.path)}, because {why}" if used else f"used: none: {why}")
    return "\n".join(lines)


def _document(rows: list[Row], used: Place | None, why: str) -> str:
    listed = [
        {
            "origin": row.place.origin,
            "path": printable(row.place.path),
            "used": row.place == used,
            **(
                {"problem": row.problem}
                if row.problem
                else {"bundle": row.what, "variants": row.variants, "size_bytes": row.size_bytes}
            ),
        }
        for row in rows
    ]
    return json.dumps({"schema": SCHEMA, "bundles": listed, "why": why}, indent=2)
