"""The speaker adapter: fitted on made-up speakers, and applied to the rows of a part."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from emofuse.config import ModelConfig
from emofuse.models.adapter import SpeakerAdapter
from emofuse.training.discriminants import LabelledClips
from emofuse.training.speakers import (
    SHRINKAGE,
    discriminant_of,
    estimate_offsets,
    fit_adapter,
    labelled_clips,
    load_run_adapter,
    save_run_adapter,
)
from made_up.voices import CATEGORIES, EMOTIONS, D, draw_clips

CONFIG = ModelConfig(encoder="ladder", layers=[4, 2, 5])


def labelled(columns):
    return LabelledClips(**columns, shifts=np.zeros((0, D)))


def fit(columns, config=CONFIG):
    return fit_adapter(config, labelled(columns), CATEGORIES)


def some(columns, rows):
    return {name: column[rows] for name, column in columns.items()}


@pytest.fixture(scope="module")
def adapter():
    return fit(draw_clips(12)[0])


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_voice_of_a_new_speaker_is_estimated_from_mixed_clips(adapter, seed):
    columns, [voice] = draw_clips(1, seed=seed, scale=1.0)
    n = len(columns["label"])
    offset = adapter.offset(columns["means"], np.ones(n))
    target = voice + EMOTIONS.mean(axis=0) - adapter.centre
    expected = adapter.rule.most * n / (n + SHRINKAGE) * target
    assert np.linalg.norm(offset - expected) < 0.15 * np.linalg.norm(expected)


@pytest.mark.parametrize("category", range(CATEGORIES))
def test_the_emotion_of_a_new_speaker_stays_when_it_is_the_only_one(adapter, category):
    columns, _ = draw_clips(6, seed=2, scale=1.0)
    for speaker in np.unique(columns["speaker"]):
        rows = columns["means"][(columns["speaker"] == speaker) & (columns["label"] == category)]
        plain = np.linalg.norm(rows.mean(axis=0) - adapter.centre)
        assert np.linalg.norm(adapter.offset(rows, np.ones(len(rows)))) < 0.1 * plain


def test_the_rule_is_that_of_the_discriminants_of_the_model():
    columns, _ = draw_clips(10)
    config = CONFIG.model_copy(update={"discriminants": [[4], [2, 5]]})
    for model in (CONFIG, config):
        fitted, expected = fit(columns, model), discriminant_of(model, labelled(columns), CATEGORIES)
        np.testing.assert_allclose(fitted.rule.projection, expected.weight, rtol=1e-6)
        np.testing.assert_allclose(fitted.centre, expected.centre, rtol=1e-6)
        np.testing.assert_allclose(fitted.rule.bias, expected.bias, rtol=1e-6)
    one, average = (discriminant_of(model, labelled(columns), CATEGORIES) for model in (CONFIG, config))
    assert not np.allclose(one.weight, average.weight)
    first = discriminant_of(CONFIG.model_copy(update={"discriminants": [[2]]}), labelled(columns), CATEGORIES)
    assert not first.weight[: D // 3].any() and first.weight[D // 3 : 2 * D // 3].any()  # layer 2 is the second


def test_moves_are_the_scores_of_emotions_of_speakers_that_the_discriminant_does_not_know():
    """A second formula, with a discriminant for each fold of speakers."""
    columns, _ = draw_clips(8, each=5, seed=5)
    number = np.array([int(name[1:]) for name in columns["speaker"]])
    moves = []
    for fold in range(4):
        fitted = discriminant_of(CONFIG, labelled(some(columns, number % 4 != fold)), CATEGORIES)
        for speaker in (fold, fold + 4):
            means = [
                columns["means"][(number == speaker) & (columns["label"] == category)].mean(axis=0)
                for category in range(CATEGORIES)
            ]
            moves.append((means - np.mean(means, axis=0)) @ fitted.weight)
    found = fit(columns).rule.moves
    np.testing.assert_allclose(found, np.mean(moves, axis=0), rtol=1e-4, atol=1e-5)
    assert (found.argmax(axis=1) == np.arange(CATEGORIES)).all()


def test_order_does_not_matter():
    columns, _ = draw_clips(6, each=5)
    turn = np.random.default_rng(3).permutation(len(columns["label"]))
    first, second = fit(columns), fit(some(columns, turn))
    clips, ones = draw_clips(1, seed=4)[0]["means"], np.ones(48)
    assert first.offset(clips, ones).any()
    np.testing.assert_allclose(first.offset(clips, ones), second.offset(clips, ones), atol=1e-4)


@pytest.mark.parametrize("n_speakers", [4, 5, 6, 7])
def test_few_speakers_are_enough(n_speakers):
    """A fold leaves as few as three of them."""
    columns, _ = draw_clips(n_speakers)
    fitted = fit(columns)
    assert (fitted.rule.moves.argmax(axis=1) == np.arange(CATEGORIES)).all()
    two = fit(some(columns, columns["label"] < 2))
    assert two.rule.projection.shape == (D, CATEGORIES) and not two.rule.moves[2:].any()


def test_a_saved_adapter_is_the_same(adapter, tmp_path):
    assert load_run_adapter(tmp_path) is None
    save_run_adapter(adapter, tmp_path)
    loaded, clips = load_run_adapter(tmp_path), draw_clips(1, seed=4)[0]["means"]
    assert loaded.facts() == adapter.facts()
    np.testing.assert_array_equal(loaded.offset(clips, np.ones(48)), adapter.offset(clips, np.ones(48)))


def part(columns, *, seconds=None, copies=0, **table):
    """Rows of a part with what `labelled_clips` and `estimate_offsets` use of `Utterances`."""
    n = len(columns["label"])
    rows = pd.DataFrame({"speaker": columns["speaker"], "corpus": columns["corpus"]}, dtype=object).assign(**table)
    means = np.stack([columns["means"] + copy for copy in range(copies + 1)]).astype(np.float32)
    return SimpleNamespace(
        table=rows,
        has_audio=np.ones(n, bool),
        label=columns["label"].copy(),
        composed=np.zeros(n, bool),
        n_frames=np.full(n, 25) if seconds is None else np.round(12.5 * seconds),
        features=SimpleNamespace(rate=12.5),
        means=lambda: means,
    )


def test_clips_without_audio_label_or_speaker_are_left_out():
    rows = part(draw_clips(6, each=2)[0], copies=2)
    rows.has_audio[0], rows.label[1], rows.composed[2] = False, -1, True
    rows.table.loc[3, "speaker"] = None
    clips = labelled_clips(rows)
    np.testing.assert_array_equal(clips.means, rows.means()[0, 4:])
    assert clips.label.tolist() == rows.label[4:].tolist() and len(clips.speaker) == len(clips.corpus) == 44
    np.testing.assert_allclose(clips.shifts, np.repeat([[1.0], [2.0]], 44, axis=0) * np.ones(D), atol=1e-5)
    assert labelled_clips(part(draw_clips(4, each=2)[0])).shifts.shape == (0, D)


def test_speakers_of_one_emotion_are_left_out():
    columns, _ = draw_clips(9, each=2)
    single = np.isin(columns["speaker"], ["a04", "a08"])
    clips = labelled_clips(part(some(columns, ~single | (columns["label"] == 0))))
    np.testing.assert_array_equal(clips.means, columns["means"][~single].astype(np.float32))
    assert not {"a04", "a08"} & set(clips.speaker)


def test_too_few_speakers_have_no_discriminant():
    assert labelled_clips(part(draw_clips(3)[0])) is None
    columns, _ = draw_clips(8)
    for label in (-1, 1):
        assert labelled_clips(part(some(columns, columns["label"] == label))) is None
    number = np.array([int(name[1:]) for name in columns["speaker"]])
    assert labelled_clips(part(some(columns, columns["label"] == number % CATEGORIES))) is None


class Recorder:
    """Stands in for an adapter: its offset is the sum of the clips that it got."""

    def offset(self, means, seconds):
        return (means * seconds[:, None]).sum(axis=0) if len(means) else np.zeros(means.shape[1])


def test_the_offset_of_a_row_is_that_of_the_other_clips_of_its_speaker():
    columns, _ = draw_clips(3, each=2)
    seconds = np.linspace(1, 4, len(columns["label"]))
    rows = part(columns, seconds=seconds)
    rows.has_audio[5] = False
    rows.table.loc[6, "speaker"] = np.nan
    known = rows.has_audio & rows.table["speaker"].notna().to_numpy()
    offsets = estimate_offsets(rows, Recorder())
    assert offsets.dtype == np.float32 and not offsets[[5, 6]].any()
    for row in np.flatnonzero(known):
        others = known & (columns["speaker"] == columns["speaker"][row]) & (np.arange(len(known)) != row)
        expected = (rows.means()[0, others] * (rows.n_frames[others] / 12.5)[:, None]).sum(axis=0)
        np.testing.assert_allclose(offsets[row], expected, rtol=1e-4, atol=1e-3)


def test_a_number_of_clips_or_one_emotion_can_be_drawn():
    columns, _ = draw_clips(2, each=4)
    columns["means"] = np.eye(len(columns["label"]))  # which clips are in a sum
    rows = part(columns, seconds=np.ones(len(columns["label"])))
    weight = round(12.5) / 12.5
    same_speaker = columns["speaker"][:, None] == columns["speaker"]
    same_label = columns["label"][:, None] == columns["label"]
    others = ~np.eye(len(same_label), dtype=bool)

    def drawn(**options):
        return estimate_offsets(rows, Recorder(), **options) / weight

    np.testing.assert_allclose(drawn(), same_speaker & others)
    np.testing.assert_allclose(drawn(same_emotion=True), same_speaker & same_label & others)
    three = drawn(clips=3, seed=1)
    assert (np.round(three.sum(axis=1)) == 3).all() and not (three > 0)[~(same_speaker & others)].any()
    np.testing.assert_array_equal(three, drawn(clips=3, seed=1))
    assert not np.array_equal(three, drawn(clips=3, seed=2))
    assert not drawn(clips=0).any()
    assert np.round(drawn(clips=9, same_emotion=True).sum(axis=1)).tolist() == [3] * len(others)


def test_a_real_adapter_changes_the_rows_of_a_part(adapter):
    assert isinstance(adapter, SpeakerAdapter)
    offsets = estimate_offsets(part(draw_clips(2, seed=9, scale=1.0)[0]), adapter)
    assert np.isfinite(offsets).all() and (np.abs(offsets).max(axis=1) > 0).all()
    one_emotion = estimate_offsets(part(draw_clips(2, seed=9, scale=1.0)[0]), adapter, same_emotion=True)
    assert np.linalg.norm(one_emotion) < 0.1 * np.linalg.norm(offsets)
