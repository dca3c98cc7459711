"""Whether a text has words, and in which language."""

from __future__ import annotations

import threading
from functools import cache
from typing import Any

_MIN_PROBABILITY = 0.5  # short texts ("Ja.", "What?") are far below
_loading = threading.Lock()


def has_words(text: str | None) -> bool:
    """Return whether a text has at least one letter or digit, not only punctuation ("...", "?!").

    >>> has_words("Oh!"), has_words(". . ."), has_words(""), has_words(None)
    (True, False, False, False)
    """
    return text is not None and any(character.isalnum() for character in text)


def language_of(text: str) -> str | None:
    """Identify the language of a text, as an ISO 639-1 code; None if unclear, as for a few short words.

    >>> language_of("Kids are talking by the door"), language_of("Nie wierzę, że to zrobiłeś"), language_of("Okay.")
    ('en', 'pl', None)
    """
    with _loading:  # without the lock, threads that call at the same time would each load the model
        identifier = _identifier()
    language, probability = identifier.classify(text)
    return str(language) if probability > _MIN_PROBABILITY else None


@cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
