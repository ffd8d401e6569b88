"""Documents as the bytes that go out."""

from __future__ import annotations

import json


def to_json(document: object) -> bytes:
    """UTF-8. A name that is no UTF-8 (a file's, in Python's form with lone surrogates) stays an escape of JSON's own.

    Raises:
        ValueError: a number that JSON does not have.
    """
    return json.dumps(document, ensure_ascii=False, allow_nan=False).encode("utf-8", "backslashreplace")
