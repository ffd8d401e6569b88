"""The order of the rooms of both packages: a room imports only those before it, and no files go round in a circle.

A room is a folder or a module right under the package (``fer_host.files``, ``fer_host.cli``); the package's own
``__init__`` is the room ``__init__``. Every import counts: those inside functions too (they only hide a circle), and
those under TYPE_CHECKING (a reader has to follow them all the same). Importing a module counts as an arrow to it, not
to the ``__init__`` of the folders above it.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Read from the top: each room may import those that stand before it.
HOST_ROOMS = """
    __init__ errors files device_pipeline
    recipe models data
    tflite convert detector
    evaluate zoo
    train boards calibration prune quantize
    bundle
    pipeline export tune_on calibrate builtin release
    pack commands cli __main__
"""
DEVICE_ROOMS = """
    __init__ contract errors types program
    board pictures tracking classifier detectors setting
    pipeline trial
    sources sinks library doctor config
    daemon profiler commands cli __main__
"""
ORDER = {
    "host/fer_host": HOST_ROOMS.split(),
    "device/fer_edge": DEVICE_ROOMS.split(),
}
# What does not hold yet. Only ever taken away from: a line that has been mended must go.
KNOWN = {
    "host/fer_host": set(),
    "device/fer_edge": set(),
}

Graph = Mapping[str, set[str]]  # what imports -> what it imports


def import_graph(package: Path) -> Graph:
    """The arrows between a package's files, each named by its dotted path inside the package."""
    files = {_name(path, package): path for path in sorted(package.rglob("*.py"))}
    return {name: _imported(path, package.name, files) - {name} for name, path in files.items()}


def _name(path: Path, package: Path) -> str:
    parts = path.relative_to(package).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def _imported(path: Path, package: str, files: Mapping[str, Path]) -> set[str]:
    asked: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            asked += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import; expected the full name"
            asked += [f"{node.module}.{alias.name}" for alias in node.names]
    found = set()
    for dotted in asked:
        if dotted.split(".")[0] != package:
            continue
        name = dotted.removeprefix(package).removeprefix(".")
        while name and name not in files:  # a class or function of a module
            name = name.rpartition(".")[0]
        found.add(name or "__init__")
    return found


def room_of(file: str) -> str:
    """``files.store`` is in the room ``files``."""
    return file.split(".")[0]


def room_graph(files: Graph) -> Graph:
    """The arrows between rooms."""
    rooms: dict[str, set[str]] = {room_of(file): set() for file in files}
    for file, imported in files.items():
        rooms[room_of(file)] |= {room_of(other) for other in imported} - {room_of(file)}
    return rooms


def circles(graph: Graph) -> list[list[str]]:
    """Groups of nodes that all reach each other."""
    reach = {node: _reached(graph, node) for node in graph}
    groups = {frozenset(b for b in reach[a] if a in reach[b]) for a in graph if a in reach[a]}
    return sorted(sorted(group) for group in groups)


def _reached(graph: Graph, start: str) -> set[str]:
    found: set[str] = set()
    todo = list(graph[start])
    while todo:
        node = todo.pop()
        if node not in found:
            found.add(node)
            todo += graph.get(node, ())
    return found


def breaches(package: Path, order: list[str]) -> set[str]:
    """One line per room without a place, arrow that runs up, circle of rooms, circle of files."""
    files = import_graph(package)
    rooms = room_graph(files)
    found = {f"{room} has no place in the order" for room in rooms if room not in order}
    found |= {
        f"{room} -> {other} runs up"
        for room, imported in rooms.items()
        for other in imported
        if room in order and other in order and order.index(other) > order.index(room)
    }
    up = {tuple(line.split(" runs up")[0].split(" -> ")) for line in found if line.endswith(" runs up")}
    # a circle of rooms holds an arrow that runs up; it is a finding of its own where the order misses a room
    found |= {
        f"circle of rooms: {', '.join(circle)}"
        for circle in circles(rooms)
        if not any(a in circle and b in circle for a, b in up)
    }
    return found | {f"circle of files: {', '.join(circle)}" for circle in circles(files)}


MOST_LINES, MOST_MODULES = 300, {"host/fer_host": 8, "device/fer_edge": 6}


@pytest.mark.parametrize("package", ORDER)
def test_modules_are_small_and_few_stand_beside_the_rooms(package: str) -> None:
    modules = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in (ROOT / package).rglob("*.py")}
    assert {str(path): n for path, n in modules.items() if n > MOST_LINES} == {}
    beside = [path.name for path in modules if path.parent == ROOT / package and not path.name.startswith("__")]
    assert len(beside) <= MOST_MODULES[package], sorted(beside)


@pytest.mark.parametrize("package", ORDER)
def test_imports_run_down_and_in_no_circle(package: str) -> None:
    assert len(import_graph(ROOT / package)) > 50, "nothing was looked at"
    found = breaches(ROOT / package, ORDER[package])
    assert sorted(found - KNOWN[package]) == [], (
        "new; import downwards, or move the line to the room that it belongs to"
    )
    assert sorted(KNOWN[package] - found) == [], "mended; take it out of KNOWN"


@pytest.mark.parametrize("package", ORDER)
def test_the_order_names_only_rooms_that_exist(package: str) -> None:
    assert len(set(ORDER[package])) == len(ORDER[package])
    assert set(ORDER[package]) - set(room_graph(import_graph(ROOT / package))) == set()


TREE = {
    "__init__.py": "",
    "low/__init__.py": "",
    "low/a.py": "import json",
    "low/b.py": "from house.low.a import thing",
    "high/__init__.py": "",
    "high/c.py": "from house.low import b\nfrom house import __version__",
}


def house(folder: Path, **planted: str) -> Path:
    """A package that keeps the order, and in it files with other content."""
    for name, text in {**TREE, **{f"{file.replace('__', '/')}.py": text for file, text in planted.items()}}.items():
        path = folder / "house" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return folder / "house"


HOUSE = ["__init__", "low", "high"]


def test_a_tidy_house_has_no_breach(tmp_path: Path) -> None:
    assert breaches(house(tmp_path), HOUSE) == set()


@pytest.mark.parametrize(
    "planted",
    [
        "from house.high import c",
        "import house.high.c",
        "def late():\n    from house.high.c import thing",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from house.high.c import Thing",
    ],
)
def test_an_arrow_that_runs_up_is_found(tmp_path: Path, planted: str) -> None:
    assert breaches(house(tmp_path, high__c="", low__b=planted), HOUSE) == {"low -> high runs up"}


def test_a_circle_of_rooms_is_found_whatever_the_order_says(tmp_path: Path) -> None:
    planted = house(tmp_path, low__a="from house.high import c", high__d="", high__c="", low__b="")
    (planted / "high" / "d.py").write_text("import house.low.b\n")
    assert breaches(planted, HOUSE) == {"low -> high runs up"}
    assert breaches(planted, HOUSE[::-1]) >= {"high -> low runs up"}
    assert breaches(planted, ["__init__"]) >= {"circle of rooms: high, low"}


def test_a_circle_of_files_within_a_room_is_found(tmp_path: Path) -> None:
    planted = house(tmp_path, low__a="def late():\n    from house.low.b import thing")
    assert breaches(planted, HOUSE) == {"circle of files: low.a, low.b"}


def test_a_room_without_a_place_is_found(tmp_path: Path) -> None:
    assert breaches(house(tmp_path, attic="import house.low.a"), HOUSE) == {"attic has no place in the order"}
