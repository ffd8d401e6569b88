"""Frozen dataclasses to and from JSON, strictly: every refusal names the field's path.

Supported field types: str, int, float, bool, Literal, X | None, tuple[X, ...], tuple[X, Y], dict[str, X], dataclasses.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import sys
import types
import typing
from collections.abc import Hashable, Mapping
from typing import Any, Literal, TypeVar

from fer_edge.contract.errors import SchemaError

T = TypeVar("T")


def dumps(schema: str, document: Any) -> str:
    """A dataclass as JSON text, ``schema`` first; the same document always gives the same bytes."""
    return json.dumps({"schema": schema, **encode(document)}, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def loads(schema: str, cls: type[T], text: str | bytes) -> T:
    """Reads what ``dumps`` wrote.

    Raises:
        SchemaError: not JSON, another or a newer schema, or a field that is unknown, missing or wrong-typed.
    """
    root = schema.split("/")[1]
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SchemaError(root, f"not valid JSON ({error})") from error
    if not isinstance(data, dict):
        raise SchemaError(root, f"found {_kind(data)}, expected an object")
    found = data.pop("schema", None)
    if found != schema:
        raise SchemaError(f"{root}.schema", _schema_problem(schema, found))
    return decode(cls, data, root)


def _schema_problem(expected: str, found: object) -> str:
    name, _, version = expected.rpartition("/")
    found_name, _, found_version = str(found).rpartition("/")
    if found_name == name and found_version.isdecimal() and int(found_version) > int(version):
        return f"found {found}, this fer-edge reads up to version {version}: update fer-edge"
    return f"found {found!r}, expected {expected!r}"


def check_texts(value: Any, path: str) -> None:
    """Refuses texts of an encoded document that a terminal would obey.

    Raises:
        SchemaError: a key or a text that is not printable.
    """
    if isinstance(value, str) and not value.isprintable():
        raise SchemaError(path, f"found {value[:40]!r}, expected printable characters")
    if isinstance(value, dict):
        for key, item in value.items():
            check_texts(key, path)
            check_texts(item, f"{path}.{key}")
    elif isinstance(value, list):
        for i, item in enumerate(value):
            check_texts(item, f"{path}[{i}]")


def encode(value: Any) -> Any:
    """A dataclass (or a field of one) as JSON-ready values; None is left out unless the metadata say ``null``."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        pairs = ((field.name, getattr(value, field.name), field.metadata.get("null")) for field in fields)
        return {name: encode(item) for name, item, null in pairs if item is not None or null}
    if isinstance(value, Mapping):
        return {key: encode(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [encode(item) for item in value]
    return value


def decode(cls: type[T], data: Any, path: str) -> T:
    """One dataclass from a JSON object.

    Raises:
        SchemaError: with the path of the first field that does not fit.
    """
    if not isinstance(data, dict):
        raise SchemaError(path, f"found {_kind(data)}, expected an object")
    hints = _field_types(typing.cast(Hashable, cls))
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]  # T is a dataclass
    for key in data:
        if key not in fields:
            raise SchemaError(f"{path}.{key}", f"unknown field; expected one of {', '.join(fields)}")
    values: dict[str, Any] = {}
    for name, field in fields.items():
        if field.metadata.get("null") and data.get(name, 0) is None:
            values[name] = None
        elif name in data:
            values[name] = decode_value(hints[name], data[name], f"{path}.{name}")
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise SchemaError(f"{path}.{name}", "missing")
    try:
        return cls(**values)
    except SchemaError as error:  # a field's own check in __post_init__, which knows only its own name
        raise SchemaError(f"{path}.{error.path}", str(error).partition(": ")[2]) from error


@functools.cache
def _field_types(cls: Any) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def decode_value(hint: Any, value: Any, path: str) -> Any:
    """One value of a field.

    Raises:
        SchemaError: with the path, and what was expected there.
    """
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None:
            raise SchemaError(path, "found null; leave the field out instead")
        (inner,) = (arg for arg in args if arg is not type(None))
        return decode_value(inner, value, path)
    if origin is Literal:
        if not isinstance(value, str) or value not in args:
            raise SchemaError(path, f"found {_brief(value)}, expected one of {', '.join(map(str, args))}")
        return value
    if origin is tuple:
        if not isinstance(value, list):
            raise SchemaError(path, f"found {_kind(value)}, expected a list")
        if len(args) == 2 and args[1] is Ellipsis:
            args = (args[0],) * len(value)
        if len(args) != len(value):
            raise SchemaError(path, f"found {len(value)} values, expected {len(args)}")
        pairs = zip(args, value, strict=True)
        return tuple(decode_value(arg, item, f"{path}[{i}]") for i, (arg, item) in enumerate(pairs))
    if origin is dict:
        if not isinstance(value, dict):
            raise SchemaError(path, f"found {_kind(value)}, expected an object")
        return {key: decode_value(args[1], item, f"{path}.{key}") for key, item in value.items()}
    if dataclasses.is_dataclass(hint):
        return decode(typing.cast("type[Any]", hint), value, path)
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        if not abs(value) <= sys.float_info.max:  # not a number, infinite, or a whole number beyond any float
            raise SchemaError(path, f"found {_brief(value)}, expected a finite number")
        return float(value)
    if type(value) is not hint:
        raise SchemaError(path, f"found {_kind(value)} {_brief(value)}, expected {_NAMES.get(hint, hint)}")
    if hint is str and not value.isascii() and any("\ud800" <= c <= "\udfff" for c in value):
        raise SchemaError(path, f"found {ascii(value)[:40]}, which is no text (half a character)")
    return value


_NAMES = {str: "a text", int: "a whole number", float: "a number", bool: "true or false", dict: "an object"}


def _kind(value: Any) -> str:
    return {**_NAMES, list: "a list", type(None): "null"}.get(type(value), str(type(value)))


def _brief(value: Any) -> str:
    text = str(value) if isinstance(value, float) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else text[:37] + "..."
