"""The language of a text that comes without one."""

from __future__ import annotations

import threading
from functools import cache
from typing import Any

_SURE = 0.5  # of a text in one of 140 languages; short ones ("Ja.", "What?") stay far below
_loading = threading.Lock()


def language_of(text: str) -> str | None:
    """ISO 639-1 code of the language of a text; None where that cannot be told, as of a few short words.

    >>> language_of("Kids are talking by the door"), language_of("Nie wierzę, że to zrobiłeś"), language_of("Okay.")
    ('en', 'pl', None)
    """
    with _loading:  # `cache` alone would load the model in each thread that asks for it at the same time
        identifier = _identifier()
    language, probability = identifier.classify(text)
    return str(language) if probability > _SURE else None


@cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
