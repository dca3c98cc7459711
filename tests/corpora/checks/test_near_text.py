import numpy as np
import pytest

from emofuse.corpora.checks.near_text import is_short, nearest, normalised


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  Don't — PANIC!\n", "dont panic"),
        ("ﬁne\u00a0day…", "fine day"),  # a ligature, a space that does not break, dots in one character
        ("STRASSE", "strasse"),
        ("Straße", "strasse"),
        ("কি, কা।", "কি কা"),  # vowel signs are no punctuation
        ("?!", ""),
    ],
)
def test_normalised(text, expected):
    assert normalised(text) == expected


@pytest.mark.parametrize(
    ("text", "short"),
    [("oh no not", True), ("oh no not again", False), ("我很高兴", False), ("你好吗", True), ("", True)],
)
def test_short_texts(text, short):
    assert is_short(text) == short


def texts(n: int, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    return ["".join(rng.choice(letters, rng.integers(40, 120))) for _ in range(n)]


def exact(a: str, b: str) -> float:
    x, y = ({text[i : i + 4] for i in range(len(text) - 3)} for text in (a, b))
    return len(x & y) / len(x | y)


def test_finds_near_copies_and_only_those():
    references = texts(3000)
    queries = texts(300, seed=1)
    rng = np.random.default_rng(2)
    for i in range(200):  # of any likeness from .4 to 1
        text = list(references[i])
        for place in rng.integers(len(text), size=i % 5 + 1):
            text[place] = "#"
        queries[i] = "".join(text)
    found, jaccard = nearest(queries, references)
    truth = np.array([exact(queries[i], references[i]) >= 0.8 for i in range(200)])
    assert 50 < truth.sum() < 150
    assert (found[:200] == np.where(truth, np.arange(200), -1)).mean() > 0.99
    assert (found[200:] == -1).all()
    for i in np.flatnonzero(found >= 0):
        assert jaccard[i] == pytest.approx(exact(queries[i], references[found[i]]))


def test_does_not_depend_on_the_order():
    references = [f"pleasereadnumber{i}ofthelistaloudandslowly" for i in range(2000)]
    queries = [f"pleasereadnumber{i}x{i}ofthelistaloudandslowly" for i in range(50)]
    found, _ = nearest(queries, references)
    other, _ = nearest(queries[::-1], references[::-1])
    assert (found >= 0).any()
    assert [j if j < 0 else 1999 - j for j in other[::-1]] == found.tolist()


def test_few_and_tiny_texts():
    assert nearest([], ["abc"])[0].tolist() == []
    assert nearest(["abc"], [])[0].tolist() == [-1]
    assert nearest(["ab", "我"], ["abcdef", "x"])[0].tolist() == [-1, -1]
