"""Whether a text has any words."""

from __future__ import annotations


def has_words(text: str | None) -> bool:
    """Return whether a text has at least one letter or digit, not only punctuation ("...", "?!").

    >>> has_words("Oh!"), has_words(". . ."), has_words(""), has_words(None)
    (True, False, False, False)
    """
    return text is not None and any(character.isalnum() for character in text)
