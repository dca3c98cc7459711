"""The code blocks of the README and of docs/: each is run, or, where it needs what is not at hand, parsed."""

import re
import runpy
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import typer

import emofuse
from emofuse import cli
from emofuse.config import load_recipe

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
PAGES += sorted(path for path in (ROOT / "docs").rglob("*.md") if path.parent.name != "tables")

NOT_AT_HAND = {
    "a corpus": r"/path/to|/shared|DATA|meld|recipes/(?!toy|studies/toy)|recipes/studies/(?!toy)",
    "a table or a run of the reader's own": r"\bmine|other\.parquet|runs/(?!toy\b)",
    "a model that the block does not export": r"^(?!.*export runs/toy).*my-bundle",
    "a recording of the reader's own": r"call\.wav|clip\.wav",
    "a cluster": r"--ray",
    "a microphone or a pipe": r"emofuse listen",
}
"""What the commands of a block may need that the repository does not have; such blocks are parsed only."""


class Block(NamedTuple):
    """A fenced code block: where it is, its language, and its text."""

    place: str
    language: str
    text: str


def all_blocks() -> Iterator[Block]:
    """The code blocks of all pages."""
    for page in PAGES:
        content = page.read_text(encoding="utf-8")
        for match in re.finditer(r"^```(.*)\n((?s:.*?))^```$", content, re.MULTILINE):
            line = content.count("\n", 0, match.start()) + 1
            yield Block(f"{page.relative_to(ROOT)}:{line}", match[1], match[2])


def blocks(*languages: str) -> list[Block]:
    """The code blocks in these languages."""
    return [block for block in all_blocks() if block.language in languages]


def commands(block: Block) -> list[list[str]]:
    """The shell commands of a block, each as a list of arguments."""
    text = block.text.replace("\\\n", " ")
    if block.language == "console":
        text = "\n".join(line.removeprefix("$ ") for line in text.splitlines() if line.startswith("$ "))
    found = []
    for line in text.splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, "&&"]:
            if word in ("&&", "||", ";", "|"):
                found.append(words)
                words = []
            else:
                words.append(word)
    return [words for words in found if words]


def missing_for(block: Block) -> str | None:
    """What a block needs that is not at hand; None if it can be run here."""
    lines = " ".join(shlex.join(words) for words in commands(block) if words[0] == "emofuse")
    return next((need for need, pattern in NOT_AT_HAND.items() if re.search(pattern, lines)), None)


def is_slow(block: Block) -> bool:
    """Whether a block trains, or recognises the words of a recording."""
    if block.language == "python":
        return "emofuse.train(" in block.text or "text=" not in block.text
    gives_words = {"--text", "--transcripts", "--no-asr", "--keys", "--markdown"}
    return any(words[0] == "emofuse" and not gives_words & set(words) for words in commands(block))


def parametrized(found: list[Block]) -> pytest.MarkDecorator:
    marks = [[pytest.mark.slow] if is_slow(block) else [] for block in found]
    return pytest.mark.parametrize(
        "block", [pytest.param(b, id=b.place, marks=m) for b, m in zip(found, marks, strict=True)]
    )


SHELL = [block for block in blocks("bash", "console") if commands(block)]
OURS = [block for block in SHELL if any(words[0] == "emofuse" for words in commands(block))]


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """A folder with the examples, the recipes, and the transcripts that docs/predict.md shows."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    shutil.copytree(ROOT / "recipes", tmp_path / "recipes")
    [turns] = [block for block in blocks("csv") if block.text.startswith("file,text")]
    (tmp_path / "turns.csv").write_text(turns.text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EMOFUSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("EMOFUSE_DATA", str(tmp_path))
    return tmp_path


@pytest.fixture(scope="module")
def parse():
    """Parses the arguments of `emofuse` with the real command line, and runs nothing."""

    def without_effect(group):
        for command in group.commands.values():
            command.callback = lambda **_: None
            if hasattr(command, "commands"):
                without_effect(command)

    root = typer.main.get_command(cli.app)
    without_effect(root)
    return lambda arguments: root.main(arguments, prog_name="emofuse", standalone_mode=False)


@pytest.mark.parametrize("block", SHELL, ids=lambda block: block.place)
def test_commands_are_known(block, parse):
    for program, *arguments in commands(block):
        if program == "emofuse":
            parse(arguments)
        elif program == "make":
            assert re.search(rf"^{arguments[0]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
        elif program == "python" and arguments[0].endswith(".py"):
            assert (ROOT / arguments[0]).is_file()


def test_the_parser_refuses_what_does_not_exist(parse):
    for wrong in (
        ["predikt"],
        ["predict", "--no-such-option"],
        ["train"],
        ["corpus", "split", "a.csv", "s", "--rule", "x"],
    ):
        with pytest.raises(Exception, match=r"(?i)no such|missing|invalid|not one of"):
            parse(wrong)


@parametrized([block for block in OURS if not missing_for(block)])
def test_commands_run(block, workspace, command_line):
    shown = "".join(line for line in block.text.splitlines(keepends=True) if not line.startswith("$ "))
    printed = ""
    for program, *arguments in commands(block):
        if program == "emofuse":
            expanded = [(sorted(workspace.glob(word)) if "*" in word else [word]) for word in arguments]
            done = command_line(*[word for words in expanded for word in words])
            assert done.code == 0, done.err[-2000:]
            printed += done.out
    if block.language == "console":  # words alone: figures may differ in the last digit between processors
        expected = re.findall(r"[A-Za-z]+", shown)
        assert expected == re.findall(r"[A-Za-z]+", printed)[: len(expected)]


@parametrized(blocks("python"))
def test_python_runs(block, workspace):
    (workspace / "runs").mkdir()
    exec(compile(block.text, block.place, "exec"), {"__name__": block.place})


@pytest.mark.parametrize("block", blocks("toml"), ids=lambda block: block.place)
def test_recipes_and_studies_are_valid(block, workspace):
    from emofuse.study.grid import load_study

    path = workspace / "recipes" / "studies" / "block.toml"
    path.write_text(block.text, encoding="utf-8")
    if "[systems]" in block.text:
        assert load_study(path, quick=True).config.name == "mine"
    else:
        assert load_recipe(path).name == "mine"


def test_the_table_can_be_read(workspace, command_line):
    [table] = [block for block in blocks("csv") if block.text.startswith("key,")]
    (workspace / "mine.csv").write_text(table.text)
    done = command_line("corpus", "prepare", "table", "mine.csv", "mine.parquet", "--allow-missing")
    assert done.code == 0 and "2 utterances, 2 speakers" in done.out


def test_all_blocks_have_a_test():
    tested = {"bash", "console", "python", "toml", "csv", "text"}  # text: usage lines of docs/commands.md
    assert {block.language for block in all_blocks()} <= tested


def test_the_page_of_commands_is_current():
    page = runpy.run_path(str(ROOT / "docs" / "make_pages.py"))["commands_page"]()
    assert (ROOT / "docs" / "commands.md").read_text(encoding="utf-8") == page, "run python docs/make_pages.py"


def test_public_names_are_there_and_described():
    for name in emofuse.__all__:
        assert name == "__version__" or getattr(emofuse, name).__doc__, name
    assert set(emofuse.__all__) <= set(dir(emofuse))
    with pytest.raises(AttributeError, match="no_such_name"):
        emofuse.no_such_name  # noqa: B018
