"""docs/writes.md lists every place in both programs and install.sh that writes or deletes, and a test of each.

A new call in a module that the table lacks fails here: say there what it may touch, and test that nothing else goes.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "docs" / "writes.md"
PROGRAMS = ("device/fer_edge", "host/fer_host", "device/bin", "host/bin", "device/fleet/plugins")
INSTALLER = "device/install.sh"
ROLES = "device/fleet/roles"
# of Ansible: a module that writes, a command that says that it changes something, a script
TASKS = re.compile(r"ansible\.builtin\.(copy|file|template|systemd_service|unarchive):|changed_when: true|stdin: ")

# methods of a path, or of an open file, whatever it is called
METHODS = {
    "write_text", "write_bytes", "unlink", "rmdir", "mkdir", "touch", "symlink_to", "hardlink_to", "chmod", "lchmod",
    "rename", "truncate", "savefig", "extractall",
}  # fmt: skip
MODULES = {
    "os": {
        "replace", "rename", "renames", "remove", "unlink", "rmdir", "removedirs", "mkdir", "makedirs", "symlink",
        "link", "truncate", "ftruncate", "chmod", "fchmod", "chown", "fchown", "lchown", "utime", "mknod", "mkfifo",
    },
    "shutil": {"copy", "copy2", "copyfile", "copytree", "move", "rmtree", "unpack_archive", "make_archive", "chown"},
    "tempfile": {"mkstemp", "mkdtemp", "mktemp", "TemporaryDirectory", "NamedTemporaryFile"},
    "np": {"save", "savez", "savez_compressed", "savetxt", "memmap"},
    "onnx": {"save"},
    "torch": {"save"},
    "saved_model": {"save"},
    "cv2": {"imwrite", "VideoWriter", "FileStorage"},
    "logging": {"FileHandler"},
}  # fmt: skip
# our own, which others call to write: contract/whole.py, contract/replace.py, contract/bundle.py, files/artifacts.py
HELPERS = {"whole_file", "unfinished_file", "replace_folder", "write_bundle", "write_bytes", "write_json", "write_text"}
SHELL = r"rm|rmdir|mv|cp|ln|mkdir|touch|chmod|chown|tee|truncate|dd|install -\w+|useradd"


def writes(source: str) -> Iterator[str]:
    """The calls of a Python file that write or delete, as text."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and _writes(node):
            yield f"line {node.lineno}: {ast.unparse(node)}"


def _writes(call: ast.Call) -> bool:
    function = call.func
    if isinstance(function, ast.Name):
        return function.id in HELPERS or (function.id == "open" and _opens_to_write(call, 1))
    if not isinstance(function, ast.Attribute):
        return False
    owner = ast.unparse(function.value).rpartition(".")[2]
    if owner == "os" and function.attr == "open":
        return bool(re.search(r"O_(WRONLY|RDWR|CREAT|TRUNC|APPEND)", ast.unparse(call)))
    if function.attr == "open":
        return _opens_to_write(call, 1 if owner in ("gzip", "tarfile", "io") or "av" in owner else 0)
    if function.attr in ("ZipFile", "GzipFile"):
        return _opens_to_write(call, 1)
    if function.attr == "replace":  # a path's has one argument, a text's two, a dataclass' has names
        return owner == "os" or (len(call.args) == 1 and not call.keywords)
    if owner in MODULES:
        return function.attr in MODULES[owner] and not _into_memory(call)
    return function.attr in METHODS


def _opens_to_write(call: ast.Call, position: int) -> bool:
    named = [keyword.value for keyword in call.keywords if keyword.arg == "mode"]
    if "memfd_create" in ast.unparse(call):
        return False
    mode = (named or call.args[position : position + 1] or [ast.Constant("r")])[0]
    if not isinstance(mode, ast.Constant):  # the first argument of somebody's own ``open`` is no mode
        return bool(named) or position == 1
    return bool(set(str(mode.value)) & set("wax+"))


def _into_memory(call: ast.Call) -> bool:
    return bool(call.args) and ast.unparse(call.args[0]) in ("buffer", "changed")


def shell_writes(source: str) -> dict[str, list[str]]:
    """The lines of a shell script that write or delete, by the function that they are in."""
    found: dict[str, list[str]] = {}
    function = ""
    for line in re.sub(r"<<'?END'?\n.*?\nEND\n", "<<END\n", source, flags=re.DOTALL).splitlines():
        begun = re.match(r"(\w+)\(\) \{", line)
        function = begun[1] if begun else function
        text = re.sub(r"'[^']*'|(^|\s)#.*", " ", line)  # >/dev/null and 2>&1 write nothing
        if re.search(rf"(^|[;&|()]|\bdo|\bthen|\belse|run_quietly)\s*({SHELL})\s|-m (venv|pip) ", text) or re.search(
            r"(?<![0-9&<])>{1,2}(?!&|/dev/null)|[0-9]>{1,2}\"", text
        ):
            found.setdefault(function, []).append(line.strip())
    return found


def rows() -> list[tuple[str, list[str]]]:
    """The table's rows: place and tests."""
    lines = [line for line in TABLE.read_text().splitlines() if line.startswith("| `")]
    return [(re.findall(r"`([^`]+)`", line)[0], re.findall(r"`(tests/[^`]+)`", line)) for line in lines]


def test_the_walker_sees_what_writes() -> None:
    seen = [
        "open(p, 'w')", "p.open('ab')", "open(p, mode=m)", "os.open(p, os.O_CREAT)", "p.write_bytes(b)", "p.unlink()",
        "shutil.rmtree(p)", "os.replace(a, b)", "a.replace(b)", "a.rename(b)", "p.mkdir()", "np.save(p, a)",
        "tf.saved_model.save(m, p)", "zipfile.ZipFile(p, 'w')", "whole_file(p)", "tempfile.mkstemp()",
    ]  # fmt: skip
    unseen = ["open(p)", "p.open()", "open(p, 'rb')", "os.open(p, os.O_RDONLY)", "text.replace('a', 'b')", "a.copy()"]
    unseen += ["dataclasses.replace(a, b=c)", "replace(a, b=c)", "np.save(buffer, a)", "zipfile.ZipFile(p)"]
    assert [text for text in seen if not list(writes(text))] == []
    assert [text for text in unseen if list(writes(text))] == []
    script = "a() {\n    rm -f x\n}\nb() {\n    cat <x 2>&1 >/dev/null\n}\nc() {\n    echo y >x\n}\nd() {\n say rm\n}"
    assert sorted(shell_writes(script)) == ["a", "c"]


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_module_that_writes_is_in_the_table(program: str) -> None:
    listed = {place for place, _ in rows() if place.startswith(program + "/")}
    found = {}
    for path in sorted((ROOT / program).rglob("*")):
        if path.suffix == ".py" or (path.parent.name == "bin" and path.is_file()):
            calls = list(writes(path.read_text()))
            if calls:
                found[path.relative_to(ROOT).as_posix()] = calls
    assert {place: calls for place, calls in found.items() if place not in listed} == {}, "not in docs/writes.md"
    assert listed - set(found) == set(), "these no longer write: take them out of docs/writes.md"


def test_every_function_of_the_installer_that_writes_is_in_the_table() -> None:
    listed = {place.partition(": ")[2] for place, _ in rows() if place.startswith("install.sh: ")}
    found = shell_writes((ROOT / INSTALLER).read_text())
    assert {name: lines for name, lines in found.items() if name not in listed} == {}, "not in docs/writes.md"
    assert listed - set(found) == set(), "these no longer write: take them out of docs/writes.md"


def test_every_role_that_writes_is_in_the_table() -> None:
    listed = {place for place, _ in rows() if place.startswith(ROLES)}
    found = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / ROLES).glob("*/tasks/*.yml")
        if TASKS.search(path.read_text())
    }
    assert found - listed == set(), "not in docs/writes.md"
    assert listed - found == set(), "these no longer write: take them out of docs/writes.md"


def test_every_row_names_a_test_that_is_there() -> None:
    assert rows()
    for place, tests in rows():
        assert tests, f"{place}: no test"
        for test in tests:
            file, _, name = test.partition("::")
            assert f"def {name}(" in (ROOT / file).read_text(), f"{place}: {test} is not there"
