"""Grouping recordings by voice, with made-up embeddings of voices and emotions."""

import numpy as np
import pytest

from emofuse.timeline import voice_groups
from emofuse.timeline.speakers import unit
from emofuse.timeline.voice_groups import group_by_voice

DIM = 256


def embeddings_of(*voices, recordings=12, emotions=4, alike=0.45, seed=0):
    """Recordings of each voice in turn; two voices have a cosine of about `alike`, emotions move them apart."""
    rng = np.random.default_rng(seed)
    directions = unit(rng.normal(size=(1 + 20 + 5, DIM)))
    common, people, moods = directions[0], directions[1:21], directions[21:]
    rows = []
    for voice in voices:
        for number in range(recordings):
            mood = moods[number % emotions]
            noise = unit(rng.normal(size=(1, DIM)))[0]
            rows.append(
                np.sqrt(alike) * common + np.sqrt(0.75 - alike) * people[voice] + 0.35 * mood + np.sqrt(0.13) * noise
            )
    return unit(np.array(rows))


def test_one_voice_in_several_emotions_is_one_group():
    assert group_by_voice(embeddings_of(3)) == [0] * 12


@pytest.mark.parametrize("emotions", [1, 4])
def test_several_voices_are_groups_of_their_own(emotions):
    expected = [voice for voice in range(4) for _ in range(12)]
    assert group_by_voice(embeddings_of(0, 1, 2, 3, emotions=emotions)) == expected


def test_voices_that_are_neither_clearly_one_nor_two_are_in_no_group():
    found = {tuple(group_by_voice(embeddings_of(0, 1, emotions=1, alike=alike))) for alike in np.arange(0.5, 0.7, 0.01)}
    assert found == {(0,) * 12 + (1,) * 12, (None,) * 24, (0,) * 24}


def test_a_voice_of_one_recording_is_in_no_group():
    found = group_by_voice(np.concatenate([embeddings_of(0), embeddings_of(1, recordings=1)]))
    assert found == [0] * 12 + [None]
    assert group_by_voice(embeddings_of(0, 1, 2, recordings=1, alike=0.3)) == [None] * 3
    assert group_by_voice(embeddings_of(0, recordings=1)) == [None] and group_by_voice(np.zeros((0, DIM))) == []


def test_equal_embeddings_are_one_voice():
    assert group_by_voice(np.repeat(embeddings_of(0, recordings=1), 5, axis=0)) == [0] * 5


@pytest.mark.parametrize("most", [500, 20])
def test_groups_do_not_depend_on_the_order(monkeypatch, most):
    monkeypatch.setattr(voice_groups, "_MAX_CLUSTERED", most)
    embeddings = embeddings_of(0, 1, 2)
    found = np.array(group_by_voice(embeddings))
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(len(embeddings))
        again = np.array(group_by_voice(embeddings[order]))
        assert np.array_equal(again[:, None] == again, found[order][:, None] == found[order])


def test_of_many_recordings_some_form_the_groups_and_the_others_join_the_nearest(monkeypatch):
    monkeypatch.setattr(voice_groups, "_MAX_CLUSTERED", 30)
    many = embeddings_of(0, 1, recordings=150)
    assert group_by_voice(many) == [0] * 150 + [1] * 150
    stranger = -embeddings_of(2, recordings=1)
    assert group_by_voice(np.concatenate([many, stranger])).count(None) == 1
