"""The import border between host and device, and light ``--help``."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HOST_ONLY = {"torch", "tensorflow", "onnx", "onnx2tf", "onnxsim", "onnxruntime", "ai_edge_quantizer", "fer_host"}
CONTRACT_MAY = {"fer_edge", "numpy", *sys.stdlib_module_names}
EXCEPTION = "device_pipeline.py"
SHARED = "fer_edge.__version__"  # one version for both


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, at any depth of nesting."""
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; expected the full name"
            yield from ([f"{node.module}.{alias.name}" for alias in node.names] if node.module else [])


def breaches(root: Path) -> list[str]:
    """Imports across a border, as "file: module"."""
    found = []
    for path in sorted((root / "device" / "fer_edge").rglob("*.py")):
        in_contract = "contract" in path.relative_to(root / "device" / "fer_edge").parts
        for name in imports(path):
            top = name.split(".")[0]
            # tensorflow.lite is the last interpreter that the device looks for; it is loaded only by name
            if top in HOST_ONLY or (in_contract and top not in CONTRACT_MAY):
                found.append(f"{path.relative_to(root)}: {name}")
            if in_contract and top == "fer_edge" and not name.startswith("fer_edge.contract"):
                found.append(f"{path.relative_to(root)}: {name}")
    for path in sorted((root / "host" / "fer_host").rglob("*.py")):
        if path.name == EXCEPTION:
            continue
        for name in imports(path):
            if name.startswith("fer_edge.") and not name.startswith("fer_edge.contract") and name != SHARED:
                found.append(f"{path.relative_to(root)}: {name}")
    return found


def test_no_import_crosses_the_border() -> None:
    assert len(list((ROOT / "device" / "fer_edge").rglob("*.py"))) > 10, "nothing was looked at"
    assert breaches(ROOT) == []


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("device/fer_edge/classifier/runner.py", "import torch"),
        ("device/fer_edge/classifier/crop.py", "def f():\n    import tensorflow as tf"),
        ("device/fer_edge/contract/align.py", "import cv2"),
        ("device/fer_edge/contract/align.py", "from fer_edge.classifier.runner import LiteRunner"),
        ("device/fer_edge/cli.py", "from fer_host import recipe"),
        ("host/fer_host/cli.py", "from fer_edge.classifier.runner import LiteRunner"),
        ("host/fer_host/cli.py", "from fer_edge import runner"),
    ],
)
def test_a_planted_bad_import_is_found(tmp_path: Path, file: str, line: str) -> None:
    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / file).write_text(line + "\n")
    assert len(breaches(tmp_path)) >= 1


@pytest.mark.parametrize("tool", ["fer_host.cli", "fer_edge.cli"])
def test_help_loads_nothing_heavy(tool: str) -> None:
    code = (
        f"import sys, {tool} as cli\n"
        "try:\n    cli.main(['--help'])\nexcept SystemExit as end:\n    assert end.code == 0\n"
        "heavy = {'cv2', 'ai_edge_litert', 'tflite_runtime', 'torch', 'tensorflow', 'onnx', 'matplotlib'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "usage" in done.stdout
