"""Manual pages and completion of both programs, in the real shells."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import fer_edge
from fer_host import cli
from fer_host.device_pipeline import device_parser
from fer_host.pack.pages import write_pages

BASH = """
source "$1"
shift
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_LINE="$*" COMP_POINT=${#COMP_LINE}
function=$(complete -p "$1" | sed -n 's/.*-F \\([^ ]*\\).*/\\1/p')
"$function" "$1" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""
ZSH = """
zmodload zsh/zpty
zpty z "cd /; PS1='> ' zsh -f -i"
zpty -w z "fpath=($1 \\$fpath); autoload -U compinit; compinit -u -D && print loa''ded"
zpty -r -m z out '*loaded*'
zpty -w -n z "$2"$'\\t'
zpty -r -m z out "*$3*" && print found
"""


@pytest.fixture(scope="module")
def share(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("share")
    for parser in (device_parser(), cli._parser()):
        assert len(write_pages(folder, parser, "1.2.3")) == 4
    return folder


def run(program: str, *arguments: object) -> str:
    if shutil.which(program) is None:
        pytest.skip(f"{program}: not installed (tests/apt.txt)")
    line = [program, *map(str, arguments)]
    plain = {**os.environ, "LC_ALL": "C.UTF-8"}
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=60, env=plain)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (["fer-edge", "ben"], ["bench"]),
        (["fer-edge", "image", "--det"], ["--detector"]),
        (["fer-edge", "image", "--detector", "mt"], ["mtcnn"]),
        (["fer-edge", "run", "--mqtt-h"], ["--mqtt-host"]),
        (["fer-edge", "service", "unin"], ["uninstall"]),
        (["fer-host", "conv"], ["convert"]),
        (["fer-host", "convert", "--weig"], ["--weights"]),
    ],
)
def test_bash_and_fish_complete(share: Path, line: list[str], expected: list[str]) -> None:
    script = share / "bash-completion/completions" / line[0]
    assert run("bash", "-c", BASH, "bash", script, *line).split() == expected
    script = share / "fish/vendor_completions.d" / f"{line[0]}.fish"
    found = run("fish", "--no-config", "-c", f"source {script}; complete -C'{' '.join(line)}'")
    assert [each.partition("\t")[0] for each in found.splitlines()] == expected


def test_bash_completes_names_of_files(share: Path, tmp_path: Path) -> None:
    script = share / "bash-completion/completions/fer-edge"
    (tmp_path / "holiday.jpg").touch()
    assert run("bash", "-c", BASH, "bash", script, "fer-edge", "image", tmp_path / "hol") == f"{tmp_path}/holiday.jpg\n"


def test_zsh_completes(share: Path) -> None:
    folder = share / "zsh/site-functions"
    assert run("zsh", "-fc", ZSH, "zsh", folder, "fer-edge image --dete", "--detector").endswith("found\n")


@pytest.mark.parametrize("program", ["fer-edge", "fer-host"])
def test_the_manual_page_holds_every_command(share: Path, program: str) -> None:
    page = share / f"man/man1/{program}.1"
    parser = device_parser() if program == "fer-edge" else cli._parser()
    commands = [name for action in parser._actions for name in (action.choices or ())]
    text = page.read_text().replace("\\", "")
    assert f'"{program} 1.2.3"' in text.splitlines()[0]
    missing = [name for name in commands if f"'{program} {name}'" not in text]
    assert len(commands) > 10
    assert missing == []
    if shutil.which("man") is not None:
        run("man", "--warnings", "-E", "UTF-8", "-l", page)  # a text that troff takes for a macro is a warning


def test_the_same_parser_gives_the_same_bytes_on_any_terminal(
    share: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    for path in write_pages(tmp_path, device_parser(), "1.2.3"):
        assert path.read_bytes() == (share / path.relative_to(tmp_path)).read_bytes()


def test_fer_host_writes_those_of_both_programs(tmp_path: Path) -> None:
    line = [sys.executable, "-m", "fer_host", "pages", str(tmp_path / "share")]
    done = subprocess.run(line, capture_output=True, text=True, check=True, timeout=120)
    written = {Path(name) for name in done.stdout.splitlines()}
    assert written == {path for path in tmp_path.rglob("*") if path.is_file()}
    assert {path.name for path in written} >= {"fer-edge.1", "fer-host.1", "_fer-edge", "fer-host.fish"}
    assert f"fer-edge {fer_edge.__version__}" in (tmp_path / "share/man/man1/fer-edge.1").read_text().replace("\\", "")
