"""Typed job configuration: read from TOML, overridden on the command line, explained by ``--help``."""

import hashlib
import json
import re
import tomllib
import types
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, time
from pathlib import Path
from typing import Annotated, Any, Literal, Self, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticUndefined

from neuronedit.errors import ConfigError, listing, masked, nearest_name


class Config(BaseModel):
    """One section of a job's configuration: frozen, and closed to unknown keys."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, coerce_numbers_to_str=True, serialize_by_alias=True, validate_by_name=True
    )

    @classmethod
    def load(cls, path: Path | None, overrides: Sequence[str] = ()) -> Self:
        """Read a TOML file (or start from nothing) and apply ``section.key=value`` overrides in order.

        An override of a setting that is text is taken as it stands, but for quotes around all of it; others are TOML.

        Raises:
            ConfigError: The file is missing or not TOML, a key is unknown, or a value has the wrong type.
        """
        values = _read_toml(path) if path else {}
        for override in overrides:
            _apply_override(cls, values, override)
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            details = [_explain(cls, detail) for detail in error.errors()]
            raise ConfigError("\n".join(f"{path or 'command line'}: {detail}" for detail in details)) from error

    def flat(self) -> dict[str, str]:
        """Give every setting as ``section.key`` → text, as it is logged with a run, without the credentials of URIs."""
        return {key: masked(_as_text(value)) for key, value in _leaves(self.model_dump(mode="json"))}

    def digest(self) -> str:
        """Compute the settings' SHA-256, in hexadecimal."""
        return hashlib.sha256(json.dumps(self.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()


def explain_fields(config: type[Config]) -> str:
    """Write the text that ``--help`` shows: each section, and each key with its type, default and meaning.

    Example:
        >>> from pydantic import Field
        >>> class Job(Config):
        ...     seed: int = Field(0, description="draws the events")
        >>> print(explain_fields(Job))
          seed  (integer, default 0)
              draws the events
    """
    return "\n".join(_field_lines(config, ""))


def top_level_settings(config: type[Config]) -> Iterator[tuple[str, str, bool]]:
    """Give the settings outside of sections that are no tables: key, meaning, and whether it is true or false.

    Example:
        >>> from pydantic import Field
        >>> class Job(Config):
        ...     seed: int = Field(0, description="draws the events")
        >>> list(top_level_settings(Job))
        [('seed', 'draws the events', False)]
    """
    for name, field in _keys(config).items():
        if not _sections(field.annotation) and get_origin(field.annotation) is not dict:
            yield name, field.description or "", field.annotation is bool


def _keys(config: type[Config]) -> dict[str, FieldInfo]:
    """A section's settings by the key that a user writes: ``from`` is no name in Python, and the alias of one."""
    return {field.alias or name: field for name, field in config.model_fields.items()}


def _field_lines(config: type[Config], prefix: str) -> Iterator[str]:
    for name, field in _keys(config).items():
        key = f"{prefix}{name}"
        sections = _sections(field.annotation)
        if field.is_required() or _is_tag(field.annotation):
            default = "required"
        else:
            default = f"default {_as_text(_plain(field.get_default(call_default_factory=True)))}"
        if sections and default != "required":
            default = "optional"
        yield f"  {key}  ({_type_name(field.annotation)}, {default})\n      {field.description}"
        for section in sections:
            if len(sections) > 1:
                yield f"    -- {section.__doc__}"
            yield from _field_lines(section, f"{key}.")


def _is_tag(annotation: Any) -> bool:
    """Tell whether a key chooses between sections, and so must be given although it can have one value only."""
    return get_origin(annotation) is Literal and len(get_args(annotation)) == 1


def _sections(annotation: Any) -> list[type[Config]]:
    if isinstance(annotation, type) and issubclass(annotation, Config):
        return [annotation]
    return [section for part in get_args(annotation) for section in _sections(part)]


def _type_name(annotation: Any) -> str:
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type_name(parts[0])
    if isinstance(annotation, type) and issubclass(annotation, Config):
        return "section"
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(_type_name(part) for part in parts if part is not type(None)))
    if origin is tuple:
        first, _, rest = _type_name(parts[0]).partition(" ")
        return f"list of {first}s {rest}".rstrip()
    if origin is dict:
        return "table"
    if origin is Literal:
        return " | ".join(repr(part) for part in parts)
    names = {str: "text", int: "integer", float: "number", bool: "true or false"}
    return names.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) and value else json.dumps(value, default=str)  # TOML has dates


def _leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"), parse_float=_Number)
    except OSError as error:
        raise ConfigError(f"{path}: the configuration cannot be read ({error.strerror}). Check the path.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}. Correct that line.") from error


class _Number(float):
    """A number that a setting which is text takes as it was written: 1e5, not 100000.0."""

    def __new__(cls, text: str) -> Self:
        number = super().__new__(cls, text)
        number.text = text
        return number

    text: str

    def __str__(self) -> str:
        return self.text


def _apply_override(config: type[Config], values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise ConfigError(f"--set {override}: expected section.key=value.")
    *sections, name = key.strip().split(".")
    table = values
    for section in sections:
        table = table.setdefault(section, {})
        if not isinstance(table, dict):
            raise ConfigError(f"--set {override}: {section!r} is a value, not a section.")
    table[name] = _read_value(text, _types_of(config, [*sections, name]))


def _types_of(annotation: Any, keys: Sequence[str] = ()) -> list[Any]:
    """The types that a key may have: those of a union are told apart, and a choice between texts is each of them."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return [found for part in parts for found in _types_of(part, keys)]
    if origin is Annotated:
        return _types_of(parts[0], keys)
    if not keys:
        return list(parts) if origin is Literal else [] if annotation is type(None) else [annotation]
    if origin is dict:
        return _types_of(parts[1], keys[1:])
    if isinstance(annotation, type) and issubclass(annotation, Config) and keys[0] in _keys(annotation):
        return _types_of(_keys(annotation)[keys[0]].annotation, keys[1:])
    return []


def _read_value(text: str, expected: Sequence[Any]) -> Any:
    """Read a value given on the command line: text as it stands where the setting is text, else TOML or bare words."""
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
    if text in expected or (not quoted and set(expected) == {str}):
        return text
    try:
        value = tomllib.loads(f"value = {text}", parse_float=_Number)["value"]
    except tomllib.TOMLDecodeError:
        return text  # bare words are text: --set design.source.condition=basal
    # A bare day is text, too: no setting is a date, and batches are often named by one. Where a number and a text are
    # both possible, as in a column's values, 1_000 and 1e5 are names.
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    named = str in expected and is_number and not re.fullmatch(r"\s*-?\d+(\.\d+)?\s*", text)
    return text if named or isinstance(value, date | time) else value


def _explain(config: type[Config], detail: ErrorDetails) -> str:
    location, sections = _locate(config, [str(part) for part in detail["loc"]])
    key = ".".join(location)
    if detail["type"] == "extra_forbidden":
        section, known = (
            ".".join(location[:-1]),
            [name for section in sections for name in _keys(section)],
        )
        return (
            f"unknown key {key!r}{nearest_name(location[-1], known)}. "
            f"Known keys{f' of {section}' if section else ''}: {listing(known, limit=30)}."
        )
    inner = [section for found in _types_of(config, location) for section in _sections(found)]
    if inner and detail["type"] in ("missing", "model_type", "model_attributes_type"):
        keys = list(dict.fromkeys(name for section in inner for name in _keys(section)))
        fault = (
            f"the section {key!r} is missing"
            if detail["type"] == "missing"
            else f"{key}: expected a section, not a value; found {_as_text(_short(detail['input']))}"
        )
        return f"{fault}. Give its keys, as --set {key}.{keys[0]}=VALUE. Known keys: {listing(keys, limit=30)}."
    if detail["type"] == "missing":
        return f"the key {key!r} is missing. Add it to the file, or give --set {key}=VALUE."
    if detail["type"] in ("union_tag_not_found", "union_tag_invalid"):
        tag = detail["ctx"]["discriminator"].strip("'")
        choices = listing(name for section in sections for name in get_args(section.model_fields[tag].annotation))
        if detail["type"] == "union_tag_not_found":
            return f"the key '{key}.{tag}' is missing; expected one of {choices}."
        return f"{key}.{tag}: expected one of {choices}; found {detail['ctx']['tag']}."
    found = "" if detail["input"] is PydanticUndefined else f"; found {_as_text(_short(detail['input']))}"
    return f"{key}: {detail['msg'].removeprefix('Value error, ')}{found}."


def _short(value: Any) -> Any:
    text = repr(value)
    return value if len(text) < 80 and not isinstance(value, tuple) else f"{text[:77]}..."


def _locate(config: type[Config], parts: Sequence[str]) -> tuple[list[str], list[type[Config]]]:
    """Find the key as the user wrote it, and the sections that could hold its last part."""
    candidates: list[type[Config]] = [config]
    location = []
    for part in parts:
        tagged = [section for section in candidates if _has_tag(section, part)]
        if len(candidates) > 1 and tagged:  # pydantic adds a tagged union's tag, which nobody wrote
            candidates = tagged
            continue
        location.append(part)
        fields = [_keys(section)[part] for section in candidates if part in _keys(section)]
        if fields:
            inner = _sections(fields[0].annotation)
            candidates = inner or candidates
    return location, candidates


def _has_tag(section: type[Config], tag: str) -> bool:
    return any(tag in get_args(field.annotation) for field in section.model_fields.values())
