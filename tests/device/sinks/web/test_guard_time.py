"""The token cannot be found by the time that wrong ones take (measured by hand: benchmarks/attacks.py token)."""

from __future__ import annotations

import ast
import hmac
from email.message import Message
from pathlib import Path

import pytest

import fer_edge
from fer_edge.sinks.web.guard import Token

TOKEN = "a-token-that-is-long"
SECRETS = ("token", "cookie", "password", "secret")
PACKAGE = Path(fer_edge.__file__).parent


@pytest.mark.parametrize("given", ["", "a", TOKEN[:-1], TOKEN + "x", "é" * 600, "x" * len(TOKEN), TOKEN])
def test_what_is_compared_has_one_length_and_no_order(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []
    original = hmac.compare_digest

    def watch(a: bytes, b: bytes) -> bool:
        compared.append((a, b))
        return original(a, b)

    monkeypatch.setattr(hmac, "compare_digest", watch)
    token = Token(TOKEN)
    assert token.matches(given) == (given == TOKEN)
    headers: Message[str, str] = Message()
    headers["Cookie"] = f'fer_edge_0="{given}"' if given.isascii() else "fer_edge_0=x"
    assert not token.admits(headers, "fer_edge_0")
    assert len(compared) == 2
    for a, b in compared:
        assert len(a) == len(b) == 32
        assert TOKEN.encode() not in (a, b)  # under a key: a visitor who knows a hash cannot work towards it
        assert token.cookie.encode() not in (a, b)


def test_nothing_else_compares_a_secret() -> None:
    """``==`` ends at the first byte that differs; a name, an empty text and a mode are no secrets."""
    found = []
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if not isinstance(node, ast.Compare) or not isinstance(node.ops[0], (ast.Eq, ast.NotEq)):
                continue
            sides = [node.left, *node.comparators]
            if any(isinstance(side, ast.Constant) for side in sides):
                continue
            for side in sides:
                name = side.attr if isinstance(side, ast.Attribute) else side.id if isinstance(side, ast.Name) else ""
                if any(secret in name.lower() for secret in SECRETS):
                    found.append(f"{file.relative_to(PACKAGE)}:{node.lineno} {ast.unparse(node)}")
    assert found == []
