import numpy as np
import pytest

from emofuse.timeline.speakers import KnownSpeakers, cluster_speakers, cut_tree, ward_merges


def embeddings_of(speakers, *, spread=0.4, dim=64, seed=0):
    """Unit vectors near one random direction a speaker."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(max(speakers) + 1, dim))
    vectors = centres[speakers] + spread * rng.normal(size=(len(speakers), dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("groups", [1, 2, 5, 39, 60])
def test_ward_is_that_of_scipy(groups):
    hierarchy = pytest.importorskip("scipy.cluster.hierarchy")
    vectors = embeddings_of([0, 1, 2] * 13, spread=1.5).astype(np.float64)
    expected = hierarchy.fcluster(hierarchy.linkage(vectors, "ward"), groups, "maxclust")
    found = cut_tree(ward_merges(vectors), groups, n=len(vectors))
    assert len(set(found)) == len(set(expected)) == len(set(zip(found, expected, strict=True)))


@pytest.mark.parametrize("people", [1, 2, 4])
def test_the_number_of_people_is_estimated(people):
    truth = [number % people for number in range(24)]
    assert cluster_speakers(embeddings_of(truth), [2.0] * 24) == truth


def test_the_number_of_people_can_be_given():
    truth = [0, 1, 0, 1, 2, 2, 0]
    assert cluster_speakers(embeddings_of(truth), [2.0] * 7, speakers=3) == truth
    assert set(cluster_speakers(embeddings_of(truth), [2.0] * 7, speakers=1)) == {0}
    assert len(set(cluster_speakers(embeddings_of(truth), [2.0] * 7, speakers=20))) == 7
    with pytest.raises(ValueError, match="at least 1"):
        cluster_speakers(embeddings_of(truth), [2.0] * 7, speakers=0)


def test_short_segments_go_to_the_nearest_speaker():
    truth = [0, 1, 0, 1, 0, 1]
    seconds = [3.0, 3.0, 3.0, 3.0, 0.3, 0.3]
    assert cluster_speakers(embeddings_of(truth, spread=0.5), seconds) == truth


def test_little_speech_is_not_a_speaker():
    truth = [0, 1, 0, 1, 2, 0, 1]
    found = cluster_speakers(embeddings_of(truth), [3.0, 3.0, 3.0, 3.0, 1.0, 3.0, 3.0])
    assert len(set(found)) == 2


@pytest.mark.parametrize("count", [0, 1])
def test_few_segments(count):
    assert cluster_speakers(embeddings_of([0])[:count], [2.0] * count) == [0] * count


def two_emotions(*, cosine, seed=0):
    """Two groups of 20 segments whose embeddings have this mean cosine between the groups, and 0.75 within them."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(40, 256))
    vectors -= vectors.mean(axis=0)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    shared, mood = np.linalg.qr(rng.normal(size=(256, 2)))[0].T
    vectors -= np.outer(vectors @ shared, shared) + np.outer(vectors @ mood, mood)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    sign = np.where(np.arange(40) % 2, 1.0, -1.0)
    between = np.sqrt((0.75 + cosine) / 2) * shared + np.sqrt((0.75 - cosine) / 2) * sign[:, None] * mood
    return between + np.sqrt(0.25) * vectors


@pytest.mark.parametrize(("cosine", "people"), [(0.65, 1), (0.59, 1), (0.5, 2), (0.3, 2)])
@pytest.mark.parametrize("seconds", [1.0, 4.0])
def test_groups_are_two_people_only_if_their_segments_differ_enough(cosine, people, seconds):
    found = cluster_speakers(two_emotions(cosine=cosine), [seconds] * 40)
    assert found == [number % people for number in range(40)]


def test_the_segments_of_a_long_recording_are_sampled(monkeypatch):
    truth = ([0] * 50 + [1] * 50 + [2] * 50) * 2
    embeddings = embeddings_of(truth)
    monkeypatch.setattr("emofuse.timeline.speakers._MAX_CLUSTERED", 40)
    assert cluster_speakers(embeddings, [2.0] * 300) == truth
    assert cluster_speakers(embeddings, [2.0] * 300, speakers=3) == truth


def test_known_speakers_are_recognised():
    rng = np.random.default_rng(0)
    centres = np.eye(8)[:3]
    early = np.repeat(centres, 5, axis=0) + rng.normal(0, 0.05, (15, 8))
    known = KnownSpeakers(early / np.linalg.norm(early, axis=1, keepdims=True), [0] * 5 + [1] * 5 + [2] * 5)
    assert known.nearest(centres[[2, 0, 1, 1]]) == [2, 0, 1, 1]
