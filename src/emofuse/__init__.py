"""Speech emotion recognition from voice and words together.

Examples:
    `load` gives a `Predictor`, which returns a `Timeline`: a list with a `Prediction` for each utterance. This does not
    need PyTorch:

    >>> import emofuse
    >>> predict = emofuse.load()  # or emofuse.load("my-bundle")
    >>> [prediction] = predict("examples/angry.flac", text="Kids are talking by the door!")
    >>> prediction.emotion, prediction.used, round(prediction.start, 1)
    ('anger', 'audio+text', 1.0)
    >>> [prediction] = predict(text="I finally got the job!")
    >>> prediction.emotion, prediction.valence > 0.6
    ('happiness', True)

    `predict_many` predicts many recordings, several at once, and yields a `Timeline` for each, in order:

    >>> predict_from_voice = emofuse.load(transcribe="off")
    >>> timelines = emofuse.predict_many(predict_from_voice, ["examples/angry.flac", "examples/neutral.flac"])
    >>> [(timeline.file, len(timeline)) for timeline in timelines]
    [('examples/angry.flac', 1), ('examples/neutral.flac', 1)]

    A `Bundle` holds what is known about a model:

    >>> predict.bundle.labels[:3], predict.bundle.licence
    (['neutral', 'happiness', 'sadness'], 'CC BY-NC-SA 4.0 (non-commercial)')

    `explain` measures the effect of voice, words and stretches of audio on a prediction:

    >>> [explanation] = emofuse.explain(predict, text="I finally got the job!")
    >>> max(explanation.words, key=lambda word: word.left_out["happiness"]).word
    'job!'

    `load_recipe` reads a `Recipe`, and `train` trains and evaluates it and returns the run folder (this needs the extra
    `train`: `emofuse.train(recipe, Path("runs/toy"))`):

    >>> recipe = emofuse.load_recipe("recipes/toy.toml", ["model.fusion=audio_only"])
    >>> recipe.model.fusion
    'audio_only'

    `read_corpus` reads a corpus into a table of utterances, here one that is made up (extra `train`):

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     table = emofuse.read_corpus("toy", folder)
    >>> sorted(table["emotion"].dropna().unique())
    ['anger', 'happiness', 'neutral', 'sadness']

    Errors that you can correct, such as a missing file or a wrong key in a recipe, are `EmofuseError`s, and their
    messages say what to do:

    >>> try:
    ...     emofuse.load("no-such-bundle")
    ... except emofuse.EmofuseError as error:
    ...     print(error)  # doctest: +ELLIPSIS
    no-such-bundle: ...
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emofuse.errors import EmofuseError

if TYPE_CHECKING:
    from emofuse.config import Recipe, load_recipe
    from emofuse.corpora import read_corpus
    from emofuse.explanation.attribution import explain
    from emofuse.inference.bundle import Bundle
    from emofuse.inference.files import predict_many
    from emofuse.inference.predictor import Predictor
    from emofuse.timeline.prediction import Prediction, Timeline
    from emofuse.training.run import train

__version__ = "0.2.0"
__all__ = [
    "Bundle",
    "EmofuseError",
    "Prediction",
    "Predictor",
    "Recipe",
    "Timeline",
    "__version__",
    "explain",
    "load",
    "load_recipe",
    "predict_many",
    "read_corpus",
    "train",
]

_MODULES = {  # imported when the name is first used: some need PyTorch or pandas
    "Bundle": "emofuse.inference.bundle",
    "Prediction": "emofuse.timeline.prediction",
    "Predictor": "emofuse.inference.predictor",
    "Recipe": "emofuse.config",
    "Timeline": "emofuse.timeline.prediction",
    "explain": "emofuse.explanation.attribution",
    "load_recipe": "emofuse.config",
    "predict_many": "emofuse.inference.files",
    "read_corpus": "emofuse.corpora",
    "train": "emofuse.training.run",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'emofuse' has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def load(
    model: Path | str | None = None,
    *,
    asr: str = "whisper-base",
    transcribe: bool | str = "auto",
    threads: int | None = None,
    adapt: bool = True,
) -> Predictor:
    """Load a model for prediction.

    Args:
        model: folder of a bundle; None for the model in the package.
        asr: speech recogniser for recordings without a transcript (see `emofuse.encoders.recogniser`).
        transcribe: whether to recognise the words of such recordings: "auto" where the model reads their language,
            "always", or "off"; True and False mean "auto" and "off".
        threads: number of processor threads to use; None for all cores available to this process. Segments of a
            recording are predicted in parallel, each on one thread; the recogniser uses all threads.
        adapt: whether the model adapts to a recording by the recording's other segments.

    Raises:
        EmofuseError: the folder is not a bundle that can be used.
    """
    from emofuse.inference.bundle import Bundle, default_bundle
    from emofuse.inference.predictor import Predictor

    bundle = default_bundle() if model is None else Bundle.load(model)
    return Predictor(bundle, asr=asr, transcribe=transcribe, threads=threads, adapt=adapt)
