"""Texts: whether they have words and in which language, where to cut them, and the names of their emoji."""

from __future__ import annotations

import re
import threading
import unicodedata
from bisect import bisect_left
from collections.abc import Callable
from difflib import get_close_matches
from functools import cache
from itertools import pairwise
from typing import Any

from emofuse.errors import EmofuseError

_CODES_AND_NAMES = """
af:afrikaans am:amharic ar:arabic as:assamese az:azerbaijani ba:bashkir be:belarusian bg:bulgarian bn:bengali
bo:tibetan br:breton bs:bosnian ca:catalan cs:czech cy:welsh da:danish de:german el:greek en:english es:spanish
et:estonian eu:basque fa:persian fi:finnish fo:faroese fr:french gl:galician gu:gujarati ha:hausa haw:hawaiian
he:hebrew hi:hindi hr:croatian ht:haitian hu:hungarian hy:armenian id:indonesian is:icelandic it:italian ja:japanese
jw:javanese ka:georgian kk:kazakh km:khmer kn:kannada ko:korean la:latin lb:luxembourgish ln:lingala lo:lao
lt:lithuanian lv:latvian mg:malagasy mi:maori mk:macedonian ml:malayalam mn:mongolian mr:marathi ms:malay mt:maltese
my:burmese ne:nepali nl:dutch nn:nynorsk no:norwegian oc:occitan pa:punjabi pl:polish ps:pashto pt:portuguese
ro:romanian ru:russian sa:sanskrit sd:sindhi si:sinhala sk:slovak sl:slovenian sn:shona so:somali sq:albanian
sr:serbian su:sundanese sv:swedish sw:swahili ta:tamil te:telugu tg:tajik th:thai tk:turkmen tl:tagalog tr:turkish
tt:tatar uk:ukrainian ur:urdu uz:uzbek vi:vietnamese yi:yiddish yo:yoruba yue:cantonese zh:chinese
"""
LANGUAGES = dict(entry.split(":") for entry in _CODES_AND_NAMES.split())
"""English names of the languages that Whisper writes, by their codes: ISO 639-1 but for haw, jw and yue."""
_MIN_PROBABILITY = 0.5  # short texts ("Ja.", "What?") are far below
_SENTENCE_END = re.compile(r"""[.!?…]+["'”’)\]]*\s+|[。！？]+[」』”]?\s*|\n\s*""")
_SPACE = re.compile(r"\s+")
_MODIFIERS = "[\ufe0f\u200d\U0001f3fb-\U0001f3ff]*"  # emoji style, joiner, skin tones
_NAMES_IN_USE = {"😡": "enraged face"}  # as in Unicode's CLDR; the character is named "pouting face"
_EMOJI = re.compile(rf"\s*([\u2600-\u27bf\u2b00-\u2bff\U0001f000-\U0001faff]){_MODIFIERS}(?:\s*\1{_MODIFIERS})*\s*")
_loading = threading.Lock()


def has_words(text: str | None) -> bool:
    """Return whether a text has at least one letter or digit, not only punctuation ("...", "?!").

    >>> has_words("Oh!"), has_words(". . ."), has_words(""), has_words(None)
    (True, False, False, False)
    """
    return text is not None and any(character.isalnum() for character in text)


def cut_near(text: str, target: int, start: int, end: int) -> int:
    """Return where to cut a text in two: near `target`, and not before `start` or after `end` if that is possible.

    The cut is after a sentence, else after a word, else at `target`.

    >>> text = "It is late. I want to go home, now."
    >>> text[: cut_near(text, 15, 5, 25)], text[: cut_near(text, 20, 15, 25)], cut_near("a" * 40, 20, 10, 30)
    ('It is late. ', 'It is late. I want ', 20)
    """
    for pattern in (_SENTENCE_END, _SPACE):
        cuts = [match.end() for match in pattern.finditer(text, start, end) if start < match.end() < len(text)]
        if cuts:
            return min(cuts, key=lambda cut: abs(cut - target))
    return target


def split_text(text: str, starts_of: Callable[[str], list[int]], limit: int) -> list[str]:
    """Split a text into parts of similar length; joined, they are the text.

    It is cut at the ends of sentences where possible, else between words, else anywhere.

    Args:
        text: any text.
        starts_of: returns where the pieces of a text start.
        limit: highest number of pieces in a part.

    >>> split_text("One two. Three four five.", lambda part: [match.start() for match in re.finditer(r"\\w+", part)], 3)
    ['One two. ', 'Three four five.']
    """
    cuts = [0, *_cuts(text, starts_of(text), limit), len(text)]
    if len(cuts) == 2:
        return [text]
    # A part may have more pieces than it had within the text, if a word was cut.
    return [part for cut, end in pairwise(cuts) if cut < end for part in split_text(text[cut:end], starts_of, limit)]


def _cuts(text: str, starts: list[int], limit: int) -> list[int]:
    """Where to cut a stretch of a text, given the starts of its pieces in the text."""
    if len(starts) <= limit:
        return []
    n_parts = -(-len(starts) // limit)
    target = len(starts) * (n_parts // 2) // n_parts  # number of pieces before the cut
    nearest = (starts[i] for i in (target, target * 3 // 4, min(target * 5 // 4, len(starts) - 1)))
    cut = cut_near(text, *nearest)
    before = max(1, bisect_left(starts, cut))
    return [*_cuts(text, starts[:before], limit), cut, *_cuts(text, starts[before:], limit)]


def _emoji_name(emoji: str) -> str:
    """Name of an emoji: that of Unicode's data, unless people use the emoji for something else.

    >>> _emoji_name("😡"), _emoji_name("😭")
    ('enraged face', 'loudly crying face')
    """
    return _NAMES_IN_USE.get(emoji) or unicodedata.name(emoji, "").lower()


def name_emoji(text: str) -> str:
    """Replace emoji by their Unicode names, a repeated emoji by one name. Texts without emoji stay as they are.

    >>> name_emoji("I lost it 😭😭😭!"), name_emoji("👍🏽 and ❤️"), name_emoji(" © 2026")
    ('I lost it loudly crying face !', 'thumbs up sign and heavy black heart', ' © 2026')
    """
    named = _EMOJI.sub(lambda match: f" {_emoji_name(match[1])} ", text)
    return text if named == text else named.strip()


def split_emoji(text: str) -> tuple[str, str]:
    """Split a text into its words without emoji and the names of the emoji.

    >>> split_emoji("Das ist toll 😍👍!")
    ('Das ist toll !', 'smiling face with heart-shaped eyes thumbs up sign')
    """
    names = " ".join(_emoji_name(match[1]) for match in _EMOJI.finditer(text))
    return " ".join(_EMOJI.sub(" ", text).split()), names


def has_words_or_emoji(text: str | None) -> bool:
    """Return whether a text has words, or emoji, which are read by their names.

    >>> has_words_or_emoji("😭"), has_words_or_emoji("...")
    (True, False)
    """
    return text is not None and has_words(name_emoji(text))


def language_code(language: str | None) -> str | None:
    """Return the code of a language that is given as code in any case, with a region, or by its English name.

    Raises:
        EmofuseError: the language is not among `LANGUAGES`.

    >>> language_code("EN"), language_code("pt_BR"), language_code("German"), language_code(None)
    ('en', 'pt', 'de', None)
    """
    if language is None:
        return None
    folded = language.strip().lower()
    code = re.split("[-_]", folded)[0]
    codes = {name: code for code, name in LANGUAGES.items()} | {"jv": "jw", "nb": "no", "fil": "tl", "mandarin": "zh"}
    if code in LANGUAGES or (code := codes.get(folded, codes.get(code, ""))):
        return code
    similar = get_close_matches(folded, LANGUAGES.values(), n=1)
    hint = f"Did you mean {similar[0]}?" if similar else "Give a code such as en or de, or an English name."
    raise EmofuseError(f"{language!r} is not a language that emofuse knows. {hint}")


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
