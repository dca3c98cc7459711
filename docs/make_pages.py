"""Write the pages that are generated: `python docs/make_pages.py` writes commands.md, recipe.md and corpora.md."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from emofuse.cli import app
from emofuse.config import Recipe
from emofuse.config_keys import render_keys_page
from emofuse.corpora import CORPORA
from emofuse.corpora.about import handbook


def commands_page() -> str:
    """The help of every command as one page of Markdown."""
    root = typer.Context(typer.main.get_command(app), info_name="emofuse")
    sections = [text for context in contexts_of(root) for text in section_of(context)]
    return "# Command line\n\nWritten by `python docs/make_pages.py` from the program's own help.\n" + "".join(sections)


def contexts_of(group: Any) -> Iterator[Any]:
    """Contexts of all commands below a group, in the order of the help."""
    for name, command in group.command.commands.items():
        context = typer.Context(command, info_name=name, parent=group)
        yield from contexts_of(context) if hasattr(command, "commands") else [context]


def section_of(context: Any) -> Iterator[str]:
    """Heading, usage, description, arguments and options of a command."""
    command = context.command
    described = [(param, record) for param in command.params if (record := param.get_help_record(context))]
    arguments = [argument_name(param) for param, _ in described if param.param_type_name == "argument"]
    usage = " ".join([context.command_path, "[OPTIONS]", *arguments])
    yield f"\n## {context.command_path}\n\n```text\n{usage}\n```\n\n{command.help.strip()}\n\n"
    for param, (names, meaning) in described:
        name = argument_name(param) if param.param_type_name == "argument" else option_name(param, names)
        yield f"- `{name}`: {' '.join(meaning.split()).removesuffix(' [required]')}\n"


def argument_name(param: Any) -> str:
    """Name of an argument, in brackets if it can be left out."""
    name = (param.metavar or param.name.upper()).strip("[]")
    return name if param.required else f"[{name}]"


def option_name(param: Any, names: str) -> str:
    """An option with its value, such as `--format table|json|csv`; typer writes the type of the value as `<int>`."""
    typed = re.search(r"<(.*)>", names)
    if typed is None:
        return names
    return f"{param.opts[0]} {typed[1] if '|' in typed[1] else param.name.strip('_').upper()}"


if __name__ == "__main__":
    pages = {"commands.md": commands_page(), "recipe.md": render_keys_page(Recipe), "corpora.md": handbook(CORPORA)}
    for name, content in pages.items():
        (Path(__file__).parent / name).write_text(content, encoding="utf-8")
