"""Predict emotions while somebody speaks: preliminary predictions each second, and a final one for each utterance.

    source = PcmInput(sys.stdin.buffer.raw)
    for prediction, final in listen(emofuse.load(), source, sample_rate=source.sample_rate):
        print(prediction.start, prediction.end, prediction.emotion, final)

An utterance is judged when the pause after it has lasted 0.2 s, or when it becomes too long, by the code that judges
the utterances of a file. Memory is that of the longest utterance, however long the stream is. Where the computer is too
slow, preliminary predictions are left out first, and then the words of final ones, but never sound.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from emofuse.audio import SAMPLE_RATE
from emofuse.audio.live_input import resample_blocks
from emofuse.inference.context import RecordingContext
from emofuse.inference.options import PredictOptions, checked_options
from emofuse.inference.predictor import Predictor
from emofuse.models.adapter import SpeakerProfile
from emofuse.segment import Segment
from emofuse.timeline.chapters import Chapter
from emofuse.timeline.live_utterances import FRAME, LiveUtterances
from emofuse.timeline.prediction import Prediction
from emofuse.timeline.segments import MAX_SECONDS, Interval

log = logging.getLogger("emofuse")

MAX_DELAY = 10.0
"""Delay in seconds from which on words are not recognised."""

NO_TIME_FOR_WORDS = "The words were not recognised, because this computer is too slow."
"""The note of a prediction that was made without words for that reason."""

_ROLLING_STEP = 1.0  # seconds of the stream from one preliminary prediction to the next
_ROLLING_SECONDS = 4.0  # the last seconds of speech that a preliminary prediction is about
_MIN_ROLLING_SECONDS = 0.5
_MAX_ROLLING_DELAY = 1.0  # seconds of delay from which on preliminary predictions are left out


class Live(NamedTuple):
    """A prediction for a stream.

    Attributes:
        prediction: its times are seconds of the stream.
        final: False for a preliminary prediction for the last seconds of an utterance that has not ended.
    """

    prediction: Prediction
    final: bool


def listen(
    predictor: Predictor,
    blocks: Iterable[np.ndarray],
    *,
    sample_rate: int,
    max_seconds: float = MAX_SECONDS,
    language: str | None = None,
    speaker: SpeakerProfile | None = None,
    rolling: bool = True,
    max_delay: float = MAX_DELAY,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Live]:
    """Predict emotions in a stream of sound, as it comes.

    The model adapts to the utterances so far, all of which it takes for one speaker's, unless `predictor.adapt` is off.
    Words are recognised in final utterances, unless `predictor.transcribe` is off.

    Args:
        predictor: the model.
        blocks: samples of any size, (n,) or (n, channels), which are averaged; floating point (full scale -1..1) or
            integers. The size of blocks does not change final predictions.
        sample_rate: of the blocks, in Hz.
        max_seconds: longest utterance, 1 to 30; a longer one is cut at the quietest place of what is known of it.
        language: language of the words; None to detect it, "mixed" if it changes.
        speaker: other audio of the speaker, which replaces the adaptation to the stream.
        rolling: whether to make preliminary predictions.
        max_delay: delay in seconds from which on utterances are judged without words; infinity for never.
        clock: seconds of any clock, by which the delay is measured.

    Yields:
        Predictions in order of time.

    Raises:
        EmofuseError: an option has no such value, the blocks are not sound, or the model cannot use audio alone.
    """
    judge = _Judge(predictor, checked_options({"max_seconds": max_seconds, "language": language, "speaker": speaker}))
    judge.warm_up()
    utterances = LiveUtterances(max_seconds=max_seconds)
    delay = _Delay(blocks, clock)
    next_rolling = _ROLLING_STEP
    rest = np.empty(0, np.float32)
    for block in resample_blocks(delay, sample_rate, name="stream"):
        rest = np.concatenate([rest, block])
        complete = len(rest) - len(rest) % FRAME
        for frame in rest[:complete].reshape(-1, FRAME):
            delay.advance(FRAME / SAMPLE_RATE)
            utterance = utterances.add(frame)
            if utterance is not None:
                yield from judge.final(utterances, utterance, use_words=delay.seconds <= max_delay)
            if utterances.seconds >= next_rolling:
                next_rolling += _ROLLING_STEP
                if rolling and delay.seconds <= _MAX_ROLLING_DELAY:
                    yield from judge.preliminary(utterances)
        rest = rest[complete:]
    for utterance in utterances.finish(rest):
        yield from judge.final(utterances, utterance, use_words=delay.seconds <= max_delay)


class _Judge:
    """Predicts the utterances of one stream.

    Args:
        predictor: the model.
        options: from `checked_options`.
    """

    def __init__(self, predictor: Predictor, options: PredictOptions) -> None:
        options["refuse"] = lambda segment, error: log.warning("%s", error)
        self._predictor = predictor
        self._context = RecordingContext("stream", None, options, use_words=True, has_text=False)
        if predictor.adapter is not None:
            self._context.adapt_to(options["speaker"], predictor.adapter)
        self._offset = self._context.offset  # of the speaker, by the utterances so far

    def warm_up(self) -> None:
        """Load all that is loaded when it is first needed, so that the first utterance does not wait for it."""
        noise = np.random.default_rng(0).normal(0, 0.01, SAMPLE_RATE).astype(np.float32)
        chapter = Chapter(0.0, noise, [Segment(start=0.0, end=1.0)], until=1.0)
        self._predictor.judge(chapter, self._without_words())
        if self._predictor.load_recogniser(several=False) is not None and "text" in self._predictor.bundle.reads:
            self._predictor.network.embedding("a")

    def final(self, utterances: LiveUtterances, interval: Interval, *, use_words: bool) -> Iterator[Live]:
        """Judge an utterance that is complete, and adapt to it; yields nothing if its samples are unusable."""
        context = self._context if use_words else replace(self._context, use_words=False)
        wants_words = self._predictor.transcribe != "off"
        for judged in self._predictor.judge(_chapter(utterances, interval), context):
            prediction = judged.prediction
            if wants_words and not use_words:
                prediction = replace(prediction, note=NO_TIME_FOR_WORDS)
            yield Live(prediction, final=True)
        if self._context.offset is None and self._context.speakers:
            [running] = self._context.speakers.values()
            self._offset = running.offset()

    def preliminary(self, utterances: LiveUtterances) -> Iterator[Live]:
        """Judge the last seconds of the utterance that has not ended, by the voice; nothing if nobody speaks."""
        unfinished = utterances.unfinished
        if unfinished is None or utterances.seconds - unfinished.start < _MIN_ROLLING_SECONDS:
            return
        interval = Interval(max(unfinished.start, utterances.seconds - _ROLLING_SECONDS), utterances.seconds)
        for judged in self._predictor.judge(_chapter(utterances, interval), self._without_words()):
            yield Live(judged.prediction, final=False)

    def _without_words(self) -> RecordingContext:
        """A context that does not adapt to what it judges."""
        return replace(self._context, use_words=False, offset=self._offset, speakers={})


def _chapter(utterances: LiveUtterances, interval: Interval) -> Chapter:
    segment = Segment(start=interval.start, end=interval.end)
    return Chapter(utterances.start, utterances.samples, [segment], until=interval.end)


class _Delay:
    """Measures how far the work on a stream is behind its sound.

    The delay grows by the time spent on the stream and shrinks by the sound that is used meanwhile. Time spent on
    waiting for a block does not count, so that a source may pause.

    Args:
        blocks: iterating over this object yields them.
        clock: seconds.

    Attributes:
        seconds: the delay.
    """

    def __init__(self, blocks: Iterable[np.ndarray], clock: Callable[[], float]) -> None:
        self._blocks, self._clock = blocks, clock
        self._last = clock()
        self.seconds = 0.0

    def __iter__(self) -> Iterator[np.ndarray]:
        blocks = iter(self._blocks)
        while True:
            before = self._clock()
            block = next(blocks, None)
            self._last += self._clock() - before
            if block is None:
                return
            yield block

    def advance(self, seconds: float) -> None:
        """Take the next seconds of sound."""
        now = self._clock()
        self.seconds = max(0.0, self.seconds + now - self._last - seconds)
        self._last = now
