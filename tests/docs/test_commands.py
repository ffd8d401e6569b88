"""Every command of the manual is run, or the page says which test runs it or why none can.

What stands before a block of commands (```sh) decides:

    <!-- run -->                          run here, in a folder that looks like a checkout
    <!-- long: why -->                    the same, by ``make test-docs`` only
    <!-- run by: tests/a/test_b.py -->    that file runs each of the block's commands
    <!-- not run: why -->                 not run; its commands and flags exist all the same
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from fer_edge import cli as edge
from fer_host import cli as host

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
MARK = r"(?:^<!-- (?P<kind>run|long|run by|not run)(?:: (?P<why>[^\n]*))? -->\n+)?"
BLOCK = re.compile(MARK + r"^```sh\n(?P<text>.*?)^```$", re.M | re.S)
CALL = re.compile(r"(?<!exec )\b(?P<program>fer-edge|fer-host) (?P<command>[a-z]+)(?![\w=-])(?P<rest>[^\n`#|;&)]*)")


@dataclass(frozen=True)
class Block:
    """A block of commands and what its page says about running it."""

    place: str
    kind: str
    why: str
    text: str


def _blocks() -> list[Block]:
    found = []
    for page in PAGES:
        text = page.read_text()
        for match in BLOCK.finditer(text):
            line = text[: match.start("text")].count("\n")
            found.append(Block(f"{page.name}:{line}", match["kind"] or "", match["why"] or "", match["text"]))
    return found


BLOCKS = _blocks()
LONG = os.environ.get("FER_TEST_DOCS") == "all"


@pytest.mark.parametrize("block", BLOCKS, ids=[block.place for block in BLOCKS])
def test_commands(block: Block, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    assert block.kind, f"{block.place}: say in the line before ```sh whether it is run, as <!-- run -->; see this file"
    if block.kind == "run by":
        for path in block.why.split(", "):
            assert (ROOT / path).exists(), path
        by = "".join(
            file.read_text()
            for path in block.why.split(", ")
            for file in ([ROOT / path] if (ROOT / path).is_file() else (ROOT / path).rglob("*.*"))
        )
        for call in CALL.finditer(_without_comments(block.text)):
            assert call["command"] in by, f"{block.why} does not run {call['command']}"
        return
    if block.kind == "not run":
        assert block.why
        assert all((ROOT / path).exists() for path in re.findall(r"tests/[\w/.]+", block.why)), block.why
        return
    if block.kind == "long" and not LONG:
        pytest.skip(f"{block.why}: make test-docs runs it")
    checkout = request.getfixturevalue("checkout")
    make = tmp_path / "make"  # environments are there: what is tested must not make them anew
    make.write_text(f'#!/bin/sh\nexec {shutil.which("make")} -o .venv/.ready -o .venv-device/.ready "$@"\n')
    make.chmod(0o755)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block.text],
        cwd=checkout,
        env=os.environ
        | {
            "PATH": f"{tmp_path}:{ROOT}/.venv/bin:{os.environ['PATH']}",
            "XDG_STATE_HOME": str(tmp_path / "state"),
            "FER_EDGE_CACHE": str(tmp_path / "cache"),
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=3600 if LONG else 300,
        check=False,
    )
    assert done.returncode == 0, f"{block.place}\n{block.text}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"


def test_the_program_on_the_first_page(checkout: Path) -> None:
    (text,) = re.findall(r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text(), re.M | re.S)
    done = subprocess.run(
        [sys.executable, "-c", text], cwd=checkout, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("happiness {"), done.stdout


def test_every_command_and_flag_of_the_pages_exists() -> None:
    wrong = []
    for page in PAGES:
        text = "\n".join(_code(page.read_text()))
        for call in CALL.finditer(text):
            flags = _flags(call["program"], call["command"])
            if flags is None:
                wrong.append(f"{page.name}: {call['program']} {call['command']}")
                continue
            for flag in re.findall(r"(?<!\S)--[a-z][a-z0-9-]*", call["rest"]):
                if flag not in flags:
                    wrong.append(f"{page.name}: {call['program']} {call['command']} {flag}")
    assert not wrong, "\n".join(wrong)


def _code(text: str) -> list[str]:
    blocks = re.findall(r"^```(?:sh|console|text)?\n(.*?)^```$", text, re.M | re.S)
    rest = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
    blocks = [re.sub(r"(?<!\S)#.*", "", block).replace("\\\n", " ") for block in blocks]
    return blocks + re.findall(r"`([^`]+)`", rest)


def _without_comments(block: str) -> str:
    return re.sub(r"(?<!\S)#.*", "", block)


def _flags(program: str, command: str) -> set[str] | None:
    """Of a command and its own commands; None where there is no such command."""
    parser = edge.make_parser(command) if program == "fer-edge" else host._parser()
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction) and command in action.choices:
            return _all_flags(action.choices[command])
    return None


def _all_flags(parser: argparse.ArgumentParser) -> set[str]:
    flags = set(parser._option_string_actions)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            flags |= {flag for each in action.choices.values() for flag in _all_flags(each)}
    return flags
