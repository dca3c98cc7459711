import errno
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from filelock import FileLock

from emofuse.audio import AudioError, log_mel, read_audio
from emofuse.config import TrainingConfig
from emofuse.corpora.table import make_table
from emofuse.data import features as features_module
from emofuse.data.batch import drop_modality, mixup, spec_augment
from emofuse.data.features import clips_of, compute_features, stored
from emofuse.data.utterances import Utterances, bucketed_batches, eval_loader, train_loader
from emofuse.errors import EmofuseError

LABELS = ["neutral", "anger"]


@pytest.fixture
def table(tmp_path) -> pd.DataFrame:
    """Six rows: audio, text, both; one is a segment of another's file."""
    rng = np.random.default_rng(0)
    rows = []
    for i in range(6):
        row = {"key": f"k{i}", "speaker": f"s{i % 3}", "emotion": LABELS[i % 2], "arousal": i / 10}
        if i < 4:
            row["file"] = str(tmp_path / f"{i}.wav")
            soundfile.write(row["file"], rng.normal(size=8000 * (i + 1)) * 0.1, 16000)
        if i >= 2:
            row["text"] = f"sentence number {i}"
        rows.append(row)
    rows.append(rows[3] | {"key": "k6", "start": 0.5, "end": 1.5, "emotion": None})
    return make_table(rows, "made-up")


@pytest.fixture
def data(table, tmp_path) -> Utterances:
    texts = table["text"].dropna().unique()
    return Utterances(
        table,
        labels=LABELS,
        label_column="emotion",
        features=compute_features(table, tmp_path / "cache"),
        embeddings={text: np.full(5, i, np.float32) for i, text in enumerate(texts, start=1)},
        text_dim=5,
    )


def test_features_are_those_of_the_front_end_and_of_segments(table, tmp_path):
    features = compute_features(table, tmp_path / "cache")
    whole = log_mel(read_audio(table["file"][2]))
    np.testing.assert_allclose(features[(table["file"][2], None, None)], whole, atol=0.05)  # half precision
    assert features.length((table["file"][3], 0.5, 1.5)) == 101


def test_feature_cache_follows_the_content(table, tmp_path):
    cache = tmp_path / "cache"
    compute_features(table, cache)
    size = len(compute_features(table.assign(key=table["key"] + "x"), cache).frames)
    soundfile.write(table["file"][0], np.random.default_rng(9).normal(size=16000) * 0.1, 16000)
    changed = compute_features(table, cache)
    assert changed.length((table["file"][0], None, None)) == 101
    assert len(changed.frames) == size + 101  # the others were not computed again


def test_table_without_audio_has_no_features(tmp_path):
    table = make_table([{"key": "k", "text": "hello"}], "c")
    assert len(compute_features(table, tmp_path / "cache").frames) == 0


def test_features_that_are_there_are_read_while_another_adds(table, tmp_path):
    compute_features(table, tmp_path / "cache")
    (lock,) = (tmp_path / "cache").glob("*/lock")
    with FileLock(lock):
        assert compute_features(table, tmp_path / "cache").length((table["file"][0], None, None)) == 51


def test_feature_cache_goes_on_after_a_kill(table, tmp_path):
    cache = tmp_path / "cache"
    with open(table["file"][3], "r+b") as file:
        sound = file.read()
        file.truncate(1000)
    with pytest.raises(AudioError, match=r"utterance k[36]: .*(truncated|recording ends)"):
        compute_features(table, cache)
    (frames,) = cache.glob("*/frames.f16")
    with frames.open("ab") as file:
        file.write(b"half a frame that a kill left behind")
    Path(table["file"][3]).write_bytes(sound)
    features = compute_features(table, cache)
    for file in table["file"].dropna().unique():
        np.testing.assert_allclose(features[(file, None, None)], log_mel(read_audio(file)), atol=0.05)


def frames_of(features, table):
    return [np.array(features[clip]) for clip in clips_of(table) if clip]


def assert_mended(table, cache, before):
    """All frames are as before; the clips are then there, so that nothing is computed a second time."""
    for found, expected in zip(frames_of(compute_features(table, cache), table), before, strict=True):
        np.testing.assert_array_equal(found, expected)
    (lock,) = cache.glob("*/lock")
    with FileLock(lock):
        compute_features(table, cache)


@pytest.mark.parametrize("left", [0.0, 0.4, 0.999])
def test_clips_cut_off_by_a_power_cut_are_computed_again(table, tmp_path, left):
    before = frames_of(compute_features(table, tmp_path / "cache"), table)
    (path,) = (tmp_path / "cache").glob("*/frames.f16")
    os.truncate(path, int(path.stat().st_size * left))
    assert_mended(table, tmp_path / "cache", before)


@pytest.mark.parametrize("place", [0.0, 0.5, 0.95])
def test_a_hole_of_zeros_is_noticed(table, tmp_path, place):
    before = frames_of(compute_features(table, tmp_path / "cache"), table)
    (path,) = (tmp_path / "cache").glob("*/frames.f16")
    with path.open("r+b") as file:
        file.seek(int(path.stat().st_size * place))
        file.write(bytes(512))
    assert_mended(table, tmp_path / "cache", before)


def test_lost_file_of_frames_is_made_again(table, tmp_path):
    before = frames_of(compute_features(table, tmp_path / "cache"), table)
    (path,) = (tmp_path / "cache").glob("*/frames.f16")
    path.unlink()
    assert_mended(table, tmp_path / "cache", before)


def test_mending_leaves_what_others_have_mapped(table, tmp_path):
    mapped = compute_features(table, tmp_path / "cache").frames
    (path,) = (tmp_path / "cache").glob("*/frames.f16")
    with path.open("r+b") as file:
        file.seek(path.stat().st_size - 256)  # in the last clip
        file.write(bytes(256))
    before = np.array(mapped)
    assert len(compute_features(table, tmp_path / "cache").frames) > len(mapped)
    np.testing.assert_array_equal(mapped, before)


def test_frames_are_on_disk_before_the_index_names_them(table, tmp_path, monkeypatch):
    synchronised, named = [], []

    def fsync(number):
        (index,) = (tmp_path / "cache").glob("*/index.sqlite")
        with closing(sqlite3.connect(index)) as store:
            named.append(store.execute("SELECT COUNT(*) FROM clips").fetchone()[0])
        synchronised.append(os.fstat(number).st_size)

    monkeypatch.setattr(features_module, "_COMMIT_EVERY", 2)
    monkeypatch.setattr(features_module.os, "fsync", fsync)
    whole = compute_features(table, tmp_path / "cache")
    assert named == [0, 2, 4] and synchronised == sorted(synchronised)
    assert synchronised[-1] == len(whole.frames) * 64 * 2


def test_read_only_store_is_read_and_not_extended(table, tmp_path, monkeypatch):
    some = table[table["key"] != "k1"]
    before = frames_of(compute_features(some, tmp_path / "cache"), some)

    def refuse(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(features_module, "FileLock", refuse)
    for found, expected in zip(frames_of(compute_features(some, tmp_path / "cache"), some), before, strict=True):
        np.testing.assert_array_equal(found, expected)
    with pytest.raises(EmofuseError, match=r"features cannot be written.*Permission denied"):
        compute_features(table, tmp_path / "cache")


@pytest.mark.slow
def test_two_processes_fill_one_store(table, tmp_path):
    expected = frames_of(compute_features(table, tmp_path / "alone"), table)
    table.to_pickle(tmp_path / "table.pkl")
    code = """
import sys, pandas as pd
from pathlib import Path
from emofuse.data import features
features._COMMIT_EVERY = 1
table = pd.read_pickle(sys.argv[1])
for n in range(1, len(table) + 1):
    features.compute_features(table.iloc[:: int(sys.argv[3])].iloc[:n], Path(sys.argv[2]))
"""
    arguments = [sys.executable, "-c", code, str(tmp_path / "table.pkl"), str(tmp_path / "cache")]
    processes = [subprocess.Popen([*arguments, order]) for order in ("1", "-1")]
    assert [process.wait() for process in processes] == [0, 0]
    whole = compute_features(table, tmp_path / "cache")
    for found, one in zip(frames_of(whole, table), expected, strict=True):
        np.testing.assert_array_equal(found, one)
    assert len(whole.frames) == sum(len(one) for one in expected)  # no clip was computed twice


def test_a_value_beyond_half_precision_is_an_error(table, tmp_path):
    def make(samples):
        return np.full((3, 2), 7e4 if len(samples) == 8000 * 2 else 6e4, np.float32)

    with pytest.raises(EmofuseError, match=r"utterance k1: states of X have the .* value 70000; expected .* 65504"):
        stored(table, tmp_path / "store", make, width=2, name="states of X")
    with pytest.raises(EmofuseError, match="utterance k0: states of X have the absolute value nan"):
        stored(table, tmp_path / "nan", lambda _: np.full((3, 2), np.nan), width=2, name="states of X")


def test_bad_audio_names_the_utterance(table, tmp_path):
    with open(table["file"][1], "w") as file:
        file.write("no audio")
    with pytest.raises(AudioError, match="utterance k1"):
        compute_features(table, tmp_path / "cache")


def test_a_segment_that_ends_after_its_recording_names_the_utterance(table, tmp_path):
    rows = table[table["key"] == "k1"].assign(end=9.0)
    with pytest.raises(AudioError, match=r"utterance k1: .*\.wav: .* ends at 9 s, but the recording ends at \d"):
        compute_features(rows, tmp_path / "cache")


def test_batch_marks_what_is_missing(data):
    batch = data.batch([0, 4, 2, 6])
    assert batch.has_audio.tolist() == [True, False, True, True]
    assert batch.has_text.tolist() == [False, True, True, True]
    assert batch.n_frames.tolist() == [51, 0, 151, 101]
    assert batch.target.tolist() == [[1, 0], [1, 0], [1, 0], [0, 0]]
    assert batch.text[:, 0].tolist() == [0, 3, 1, 2]
    assert (batch.frames[0, 51:] == 0).all()
    assert (batch.frames[0, :51] != 0).any()
    assert batch.dimensions[:, 0].tolist() == pytest.approx([0, 0.4, 0.2, 0.3])
    assert batch.dimensions[:, 1].isnan().all()


def test_balanced_within_each_corpus(data, table):
    table = pd.concat([table, table.iloc[:3].assign(key=["a", "b", "c"], corpus="other")])
    rows = Utterances(
        table, labels=LABELS, label_column="emotion", features=data.features, embeddings={}, text_dim=5, balanced=True
    )
    target = pd.DataFrame(rows.target).groupby(rows.table["corpus"]).sum()
    assert target.loc["made-up"].tolist() == [3, 3]
    assert target.loc["other"].tolist() == [1.5, 1.5]
    assert rows.batch([7]).target.tolist() == [[0.75, 0]]


def test_votes_are_soft_targets_also_of_rows_without_a_majority(data, table):
    votes = ['{"neutral": 3, "anger": 1, "contempt": 4}', None, "{}", '{"fear": 2}', None, None, '{"anger": 1}']
    arguments = {"labels": LABELS, "label_column": "emotion", "features": data.features, "embeddings": {}}
    rows = Utterances(table.assign(votes=votes), soft=True, text_dim=5, **arguments)
    expected = [[0.75, 0.25], [0, 1], [1, 0], [0, 1], [1, 0], [0, 1], [0, 1]]
    np.testing.assert_allclose(rows.target, expected)
    assert rows.label.tolist() == [0, 1, 0, 1, 0, 1, -1]
    balanced = Utterances(table.assign(votes=votes), soft=True, text_dim=5, balanced=True, **arguments)
    np.testing.assert_allclose(balanced.target.sum(axis=0), [3.5, 3.5])
    hard = Utterances(table.assign(votes=votes), text_dim=5, **arguments)
    np.testing.assert_array_equal(hard.target[0], [1, 0])


def test_steps_of_an_epoch(data):
    config = TrainingConfig(batch_size=2, crop_seconds=0.5, epoch_steps=2)
    assert len(list(train_loader(data, config, seed=0, epoch=0))) == 2
    assert len(list(train_loader(data, config.model_copy(update={"epoch_steps": 0}), seed=0, epoch=0))) == 3


def test_crop_is_a_stretch_of_the_clip(data):
    whole = data.batch([3]).frames[0]
    crop = data.batch([3], crop=20, generator=torch.Generator().manual_seed(1)).frames[0]
    assert len(crop) == 20
    assert any(torch.equal(whole[i : i + 20], crop) for i in range(len(whole) - 19))


def test_short_clips_are_repeated_to_the_crop(data):
    whole = data.batch([0]).frames[0]
    batch = data.batch([0, 4], crop=120, generator=torch.Generator().manual_seed(1))
    assert batch.n_frames.tolist() == [120, 0]
    assert torch.equal(batch.frames[0], torch.cat([whole, whole, whole])[:120])


def test_every_row_once_and_buckets_of_like_length():
    lengths = np.random.default_rng(0).integers(1, 500, 1000)
    batches = list(bucketed_batches(lengths, 16))
    assert sorted(chain(*batches)) == list(range(1000))
    shuffled = list(bucketed_batches(lengths, 16, generator=torch.Generator().manual_seed(0)))
    assert sorted(chain(*shuffled)) == list(range(1000))
    assert shuffled != batches
    spread = np.mean([np.ptp(lengths[b]) for b in shuffled])
    assert spread < 0.3 * np.ptp(lengths)


def test_no_batch_of_one_row_in_training():
    batches = list(bucketed_batches(np.ones(33), 16, generator=torch.Generator().manual_seed(0)))
    assert [len(b) for b in batches] == [16, 16]


def test_epochs_differ_and_repeat(data):
    config = TrainingConfig(batch_size=2, crop_seconds=0.3, mixup=0.4, spec_augment=True, modality_dropout=0.5)

    def epoch(number, seed=0):
        return [batch.frames for batch in train_loader(data, config, seed=seed, epoch=number)]

    for a, b in zip(epoch(3), epoch(3), strict=True):
        assert torch.equal(a, b)
    assert any(a.shape != b.shape or not torch.equal(a, b) for a, b in zip(epoch(3), epoch(4), strict=True))
    assert any(a.shape != b.shape or not torch.equal(a, b) for a, b in zip(epoch(3), epoch(3, 1), strict=True))


def test_processes_share_an_epoch(data):
    config = TrainingConfig(batch_size=2)
    loaders = [train_loader(data, config, seed=0, epoch=0, rank=r, world=2) for r in range(2)]
    rows = [[tuple(b.rows.tolist()) for b in loader] for loader in loaders]
    assert len(rows[0]) == len(rows[1]) > 0
    assert not set(rows[0]) & set(rows[1])


def test_eval_loader_reads_whole_utterances(data):
    seen = {int(r): int(n) for b in eval_loader(data, 4) for r, n in zip(b.rows, b.n_frames, strict=True)}
    assert seen == dict(enumerate(data.n_frames.tolist()))


def test_spec_augment_keeps_to_the_valid_frames():
    x = torch.randn(3, 100, 64)
    before = x.clone()
    spec_augment(x, torch.tensor([100, 50, 0]), torch.Generator().manual_seed(0))
    changed = x != before
    assert changed[0].any()
    assert changed[1, :50].any()
    assert not changed[1, 50:].any()
    assert not changed[2].any()
    assert changed[0].float().mean() < 0.5


def test_mixup_stays_within_a_kind(data):
    batch = data.batch([0, 1, 2, 3, 4, 5])
    kinds = [batch.has_audio.clone(), batch.has_text.clone(), batch.target.sum(dim=1)]
    before = batch.target.clone()
    mixup(batch, 1.0, torch.Generator().manual_seed(0))
    assert torch.equal(batch.has_audio, kinds[0])
    assert torch.allclose(batch.target.sum(dim=1), kinds[2])
    assert (batch.text[~kinds[1]] == 0).all()
    assert (batch.target.argmax(dim=1) == before.argmax(dim=1)).all()
    assert not torch.equal(batch.target, before)


def test_modality_dropout_leaves_one_modality(data):
    batch = data.batch([0, 2, 3, 4] * 50)
    drop_modality(batch, 1.0, torch.Generator().manual_seed(0))
    both = batch.has_audio & batch.has_text
    assert not both.any()
    assert (batch.has_audio | batch.has_text).all()
    had_both = batch.rows.unsqueeze(1).eq(torch.tensor([2, 3])).any(dim=1)
    assert 0.3 < batch.has_audio[had_both].float().mean() < 0.7
    assert (batch.n_frames[~batch.has_audio] == 0).all()
