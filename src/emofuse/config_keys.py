"""List the keys of a recipe or study file: for tables of keys, and for "did you mean" in errors."""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from emofuse.config_sections import Section
from emofuse.console import as_text

_ENTRY = "N"  # stands for the number of a list entry, or for a name chosen by the user
_SIMILAR = 0.7  # lowest similarity of a suggestion, 0..1
_NAMES = {str: "text", int: "integer", float: "number", bool: "true or false", Any: "any value"}
_BOUNDS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}


@dataclass(frozen=True)
class Key:
    """A key of a recipe.

    Attributes:
        path: names from the outermost section to the key; "N" for the number or name of an entry.
        type: such as "integer, at least 1".
        default: as in TOML, or "required", or "not set".
        meaning: description.
        is_section: whether it contains other keys.
    """

    path: tuple[str, ...]
    type: str
    default: str
    meaning: str
    is_section: bool = False

    def __str__(self) -> str:
        return ".".join(self.path)


def keys_of(kind: type[Section], path: tuple[str, ...] = ()) -> list[Key]:
    """List all keys of a section: its values first, then each subsection followed by its keys."""
    values: list[Key] = []
    subsections: list[Key] = []
    for name, field in kind.model_fields.items():
        key = (*path, name)
        section, has_entries = _section_in(field.annotation)
        meaning = field.description or ""
        if section is None:
            values.append(Key(key, _type_of(field.annotation, field.metadata), _default_of(field), meaning))
        else:
            subsections.append(Key(key, "section", "", meaning, is_section=True))
            subsections += keys_of(section, (*key, _ENTRY) if has_entries else key)
    return values + subsections


def suggest_key(kind: type[Section], place: Sequence[str]) -> str | None:
    """Suggest the key that a user most likely meant by an unknown one; None if no key is similar.

    A similar name in the same section comes first, then the same name in another section, then a similar one there.

    Args:
        kind: the outermost section.
        place: names of keys and numbers of entries, such as ["data", "corpora", "0", "splt"].
    """
    keys = keys_of(kind)
    beside = [key for key in keys if len(key.path) == len(place) and _shared(key.path, place) == len(place) - 1]
    for candidates, cutoff in ((beside, _SIMILAR), (keys, 1.0), (keys, _SIMILAR)):
        names = [key.path[-1] for key in candidates]
        if matches := difflib.get_close_matches(place[-1], names, n=1, cutoff=cutoff):
            path = candidates[names.index(matches[0])].path
            same = _shared(path, place[:-1])
            return ".".join([*place[:same], *("0" if part == _ENTRY else part for part in path[same:])])
    return None


def render_keys_table(kind: type[Section]) -> str:
    """Render the keys as a table for the terminal."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name, widest in (("key", None), ("type", 24), ("default", 14), ("meaning", None)):
        table.add_column(name, overflow="fold", max_width=widest, no_wrap=name == "key")
    for key in keys_of(kind):
        if not key.is_section:
            table.add_row(*(Text(cell) for cell in (str(key), key.type, key.default, key.meaning)))
    note = Text("N is the number of a corpus, from 0. --set KEY=VALUE changes a key for one run.")
    return as_text(table, note, width=130)


def render_keys_page(kind: type[Section]) -> str:
    """Render the keys as a Markdown page, docs/recipe.md."""
    keys = keys_of(kind)
    about = {key.path: key.meaning for key in keys if key.is_section}
    lines = [
        "# Keys of a recipe",
        "",
        "Written by `emofuse recipe --markdown`. A recipe is a TOML file; `recipes/` has one for each known task.",
        "`emofuse train RECIPE --set KEY=VALUE` changes a key for one run. `N` is the number of a corpus, from 0.",
    ]
    for section, members in groupby((key for key in keys if not key.is_section), key=lambda key: key.path[:-1]):
        title = f"`{'.'.join(section)}`" if section else "Outside all sections"
        meaning = about.get(section) or about.get(section[:-1], "")
        lines += ["", f"## {title}", "", *([meaning, ""] if meaning else [])]
        lines += ["| Key | Type | Default | Meaning |", "|---|---|---|---|"]
        lines += [f"| `{key.path[-1]}` | {key.type} | {key.default} | {key.meaning} |" for key in members]
    return "\n".join(lines) + "\n"


def _shared(path: Sequence[str], place: Sequence[str]) -> int:
    """Number of leading parts that a place shares with a path; entries may have any name."""
    for i, (part, given) in enumerate(zip(path, place, strict=False)):
        if part not in (given, _ENTRY):
            return i
    return min(len(path), len(place))


def _section_in(annotation: Any) -> tuple[type[Section] | None, bool]:
    """The section in a field (None for a value), and whether the field holds a list or table of sections."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation, False
    for argument in get_args(annotation):
        section, has_entries = _section_in(argument)
        if section is not None:
            return section, has_entries or get_origin(annotation) in (list, dict)
    return None, False


def _type_of(annotation: Any, metadata: Sequence[Any] = ()) -> str:
    """Describe a type in words.

    >>> _type_of(list[int] | None), _type_of(Literal["mean", "cls"])
    ('list of integers', 'mean or cls')
    """
    origin, arguments = get_origin(annotation), [a for a in get_args(annotation) if a is not NoneType]
    if origin is Annotated:
        words = _type_of(arguments[0])
    elif origin is Literal:
        words = _either(arguments)
    elif origin in (Union, UnionType):
        words = _either(
            [name for a in arguments for name in (get_args(a) if get_origin(a) is Literal else [_type_of(a)])]
        )
    elif origin is tuple:
        words = f"list of {len(arguments)} {_type_of(arguments[0])}s"
    elif origin is list:
        plain = arguments[0] in (str, int, float)
        words = f"list of {_type_of(arguments[0])}{'s' if plain else ''}"
    elif origin is dict:
        words = f"table of {_type_of(arguments[1])}"
    else:
        words = _NAMES[annotation]
    limits = [(word, getattr(limit, name, None)) for limit in metadata for name, word in _BOUNDS.items()]
    return ", ".join([words, *(f"{word} {value:g}" for word, value in limits if value is not None)])


def _either(names: Sequence[str]) -> str:
    return " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _default_of(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    return "not set" if field.default is None else json.dumps(field.default)
