"""Which language a text is in, well enough to choose detectors by: by script, and by function words for Latin script."""

from __future__ import annotations

import re
from functools import lru_cache

_SCRIPTS = {
    "ja": re.compile(r"[\u3040-\u30ff]"),
    "ko": re.compile(r"[\uac00-\ud7af\u1100-\u11ff]"),
    "zh": re.compile(r"[\u4e00-\u9fff]"),
    "ru": re.compile(r"[\u0400-\u04ff]"),
    "ar": re.compile(r"[\u0600-\u06ff]"),
    "he": re.compile(r"[\u0590-\u05ff]"),
    "hi": re.compile(r"[\u0900-\u097f]"),
    "th": re.compile(r"[\u0e00-\u0e7f]"),
    "el": re.compile(r"[\u0370-\u03ff]"),
}
_WORDS = {
    "en": "the and of to is are was that this with for you your what how all from not have please",
    "de": "der die das und ist nicht ein eine mit von zu den ich wie was bitte auf für sind alle",
    "fr": "le la les des et est une un pas pour que qui dans vous sur avec je sont toutes plus",
    "es": "el los las y es una un por para que con del como no en se su todas más qué",
    "pt": "o os as e uma um para que com do da não em se você como são todas mais por",
    "it": "il lo gli e di una un per che con della non sono come tutte più si del alla",
    "nl": "de het een en van is niet dat met voor op zijn je wat hoe alle te in er",
    "pl": "i w na z się nie to jest że do jak dla po są co wszystkie przez od",
    "tr": "ve bir bu için ile ne da de çok nasıl olarak tüm olan daha var mı",
    "vi": "và của là có không cho những được trong các một người với này như",
}
_TOKEN = re.compile(r"[^\W\d_]+")


@lru_cache(maxsize=1)
def _sets() -> dict[str, frozenset[str]]:
    return {language: frozenset(words.split()) for language, words in _WORDS.items()}


def language_of(text: str) -> str:
    """ISO 639-1 code of the language in which most of the first 2,000 characters are; "" if that cannot be told."""
    head = text[:2000]
    if not head.isascii():
        letters = sum(char.isalpha() for char in head)
        for language, script in _SCRIPTS.items():
            if len(script.findall(head)) * 4 > letters:
                return language
    words = _TOKEN.findall(head.lower())
    counts = {language: sum(word in known for word in words) for language, known in _sets().items()}
    best = max(counts, key=counts.__getitem__)
    rest = sorted(counts.values())[-2]
    return best if counts[best] >= 2 and counts[best] > rest else ""
