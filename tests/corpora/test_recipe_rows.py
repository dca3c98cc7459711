"""The table that a recipe's reader is prepared as, and what follows from it."""

import os
from pathlib import Path

import pandas as pd
import pytest

from emofuse.config import CorpusConfig, load_recipe
from emofuse.corpora import CORPORA, read_corpus, recipe_rows
from emofuse.corpora.recipe_rows import prepared_table, read_and_split
from emofuse.data.rows import select_rows
from emofuse.errors import EmofuseError
from emofuse.files import cache_dir
from made_up import trees

NEMO = Path(__file__).parents[2] / "recipes" / "nemo.toml"


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("EMOFUSE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def nemo(tmp_path) -> CorpusConfig:
    trees.make("nemo", tmp_path / "nemo")
    return CorpusConfig(reader="nemo", root="nemo")


@pytest.fixture
def reads(monkeypatch) -> list[str]:
    """Names of the readers that were called."""
    names: list[str] = []

    def read(name, *arguments, **options):
        names.append(name)
        return read_corpus(name, *arguments, **options)

    monkeypatch.setattr(recipe_rows, "read_corpus", read)
    return names


def test_table_is_the_one_that_corpus_prepare_writes(nemo, tmp_path, command_line, capsys):
    path = prepared_table(nemo, tmp_path)
    assert path.parent == cache_dir() / "tables" and path.name.startswith("nemo-")
    assert str(path) in capsys.readouterr().err
    by_hand = path.with_name("by-hand.parquet")
    assert command_line("corpus", "prepare", "nemo", tmp_path / "nemo", by_hand).code == 0
    pd.testing.assert_frame_equal(pd.read_parquet(path), pd.read_parquet(by_hand))


def test_table_is_prepared_again_only_if_the_corpus_or_the_options_change(nemo, tmp_path, reads, capsys):
    paths = [prepared_table(nemo, tmp_path) for _ in range(2)]
    assert reads == ["nemo"] and paths[0] == paths[1]
    assert capsys.readouterr().err.count("prepared the table") == 1
    paths.append(prepared_table(nemo.model_copy(update={"allow_missing": True}), tmp_path))
    clip = next((tmp_path / "nemo").rglob("*.wav"))
    os.utime(clip, ns=(0, 0))
    paths.append(prepared_table(nemo, tmp_path))
    (tmp_path / "nemo" / "note.txt").touch()
    paths.append(prepared_table(nemo, tmp_path))
    assert len(set(paths)) == 4 and len(reads) == 4
    clip.unlink()
    with pytest.raises(EmofuseError, match=clip.name):
        prepared_table(nemo, tmp_path)
    assert len(list((cache_dir() / "tables").glob("*.parquet"))) == 4


def test_table_follows_links_and_survives_a_loop(nemo, tmp_path, reads):
    (tmp_path / "linked").mkdir()
    for entry in (tmp_path / "nemo").iterdir():
        (tmp_path / "linked" / entry.name).symlink_to(entry)
    (tmp_path / "linked" / "loop").symlink_to(tmp_path / "linked")
    linked = nemo.model_copy(update={"root": "linked"})
    first = prepared_table(linked, tmp_path)
    os.utime(next((tmp_path / "nemo").rglob("*.wav")), ns=(0, 0))
    assert prepared_table(linked, tmp_path) != first


def test_toy_corpus_is_made_where_it_is_absent(tmp_path):
    toy = CorpusConfig(reader="toy", root="made/toy")
    assert prepared_table(toy, tmp_path) == prepared_table(toy, tmp_path)
    assert len(read_and_split(toy, tmp_path)[0]) > 0


@pytest.mark.parametrize("name", CORPORA)
def test_rows_are_those_of_the_reader(name, tmp_path):
    """Also in the types of their values: labels and identities of runs are made of them."""
    config = CorpusConfig(reader=name, root="corpus", split={"rule": "hold_out", "allow_shared_speakers": True})
    trees.make(name, tmp_path / "corpus")
    rows = read_corpus(name, tmp_path / "corpus")
    pd.testing.assert_frame_equal(recipe_rows.read_table(prepared_table(config, tmp_path)), rows)


def test_a_table_prepared_by_hand_gives_the_same_run(nemo, tmp_path):
    from emofuse.data.prepare import identify

    by_hand = prepared_table(nemo, tmp_path)
    options = ["model.fusion=audio_only", "data.corpora.0.split={rule='k_fold', k=3}"]
    by_reader, by_table = (
        load_recipe(NEMO, [*options, *more])
        for more in ([], ["data.corpora.0.reader=table", f"data.corpora.0.root={by_hand}"])
    )
    first, second = select_rows(by_reader, data=tmp_path), select_rows(by_table, data=tmp_path)
    assert first.split.hash == second.split.hash
    assert identify(by_reader, first) == identify(by_table, second)
    pd.testing.assert_frame_equal(first.whole, second.whole)


def test_a_cache_that_cannot_be_written_is_named(nemo, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("EMOFUSE_CACHE", str(tmp_path / "file"))
    with pytest.raises(EmofuseError, match="EMOFUSE_CACHE"):
        prepared_table(nemo, tmp_path)


def test_all_rows_of_a_corpus_in_one_part(nemo, tmp_path):
    from emofuse.config import SplitConfig

    def parts(**options):
        config = nemo.model_copy(update={"split": SplitConfig(rule="k_fold", k=3, **options)})
        table, split = read_and_split(config, tmp_path)
        assert sorted(split.train + split.dev + split.test) == sorted(table["key"])
        return split

    usual, whole, tested = parts(), parts(all_rows="train"), parts(all_rows="test")
    assert set(whole.train) == {*usual.train, *usual.test} and whole.dev == usual.dev and not whole.test
    assert not tested.train and not tested.dev
    assert len({usual.hash, whole.hash, tested.hash}) == 3
    for split in (whole, tested):
        findings = recipe_rows.audit_split(read_corpus("nemo", tmp_path / "nemo"), split).findings
        assert next(one.severity for one in findings if one.check == "parts") == "ok"
