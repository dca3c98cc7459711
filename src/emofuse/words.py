"""Whether a text has any words."""

from __future__ import annotations


def has_words(text: str | None) -> bool:
    """Whether a text has at least one letter or digit; marks alone ("...", "?!") say nothing.

    >>> has_words("Oh!"), has_words(". . ."), has_words(""), has_words(None)
    (True, False, False, False)
    """
    return text is not None and any(character.isalnum() for character in text)
