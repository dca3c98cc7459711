import numpy as np
import pytest

from emofuse.timeline.segments import Interval
from emofuse.timeline.speakers import cluster_speakers, cut_tree, label_speakers, ward_merges


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


def test_segments_are_embedded_from_their_samples():
    class Encoder:
        def embed(self, parts):
            vectors = np.array([[part[0], 1 - part[0]] for part in parts], np.float32)
            return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    samples = np.zeros(8 * 16000, np.float32)
    samples[2 * 16000 : 4 * 16000] = samples[6 * 16000 :] = 1
    intervals = [Interval(start, start + 2.0) for start in (0, 2, 4, 6)]
    assert label_speakers(samples, intervals, Encoder(), speakers=2) == [0, 1, 0, 1]
