"""The JSON Schema (draft 2020-12) of a document that ``codec`` reads and writes, made from its dataclasses.

What the docstring says under ``Attributes:`` becomes the description of a field.
"""

from __future__ import annotations

import dataclasses
import inspect
import types
import typing
from typing import Any, Literal

from fer_edge.contract.docstrings import described

DRAFT = "https://json-schema.org/draft/2020-12/schema"
_PLAIN = {str: "string", int: "integer", float: "number", bool: "boolean"}


def json_schema(schema: str, cls: type[Any]) -> dict[str, Any]:
    """The schema of ``codec.dumps(schema, document)`` for documents of a class.

    Args:
        schema: the document's own name, e.g. ``fer-edge/reading/1``.
        cls: a dataclass with field types that ``codec`` knows.
    """
    found: dict[str, Any] = {}
    root = _object(cls, found)
    root["properties"] = {"schema": {"const": schema}, **root["properties"]}
    root["required"] = ["schema", *root["required"]]
    return {"$schema": DRAFT, "title": schema, **root, "$defs": found}


def _object(cls: type[Any], found: dict[str, Any]) -> dict[str, Any]:
    hints, words = typing.get_type_hints(cls), described(cls)
    properties, required = {}, []
    for field in dataclasses.fields(cls):
        value = _value(hints[field.name], found)
        if field.metadata.get("null"):
            value = {"anyOf": [value, {"type": "null"}]}
        properties[field.name] = {"description": _plain(words[field.name]), **value} if field.name in words else value
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            required.append(field.name)
    head = inspect.cleandoc(cls.__doc__ or "").partition("\n\nAttributes:")[0]
    return {
        "type": "object",
        "description": _plain(head),
        "properties": properties,
        "required": required,
    }


def _value(hint: Any, found: dict[str, Any]) -> dict[str, Any]:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        (inner,) = (arg for arg in args if arg is not type(None))
        return _value(inner, found)
    if origin is Literal:
        return {"enum": list(args)}
    if origin is tuple:
        if len(args) == 2 and args[1] is Ellipsis:
            return {"type": "array", "items": _value(args[0], found)}
        n = len(args)
        return {"type": "array", "prefixItems": [_value(arg, found) for arg in args], "minItems": n, "maxItems": n}
    if origin is dict:
        return {"type": "object", "additionalProperties": _value(args[1], found)}
    if dataclasses.is_dataclass(hint):
        name = typing.cast("type[Any]", hint).__name__.removesuffix("Doc")
        if name not in found:
            found[name] = {}  # before it is looked into, should it name itself
            found[name] = _object(typing.cast("type[Any]", hint), found)
        return {"$ref": f"#/$defs/{name}"}
    return {"type": _PLAIN[hint]}


def _plain(text: str) -> str:
    return " ".join(text.split()).replace("``", "`")
