"""Characters that are not seen: removed before anything is looked for, so that they hide nothing and carry nothing.

Removed: zero-width spaces and joiners, bidirectional controls (CVE-2021-42574), Unicode tags (which spell hidden ASCII),
variation selectors beyond those of emoji, soft hyphens. Kept: the joiner inside an emoji (UTS #51), the joiner and
non-joiner between letters of scripts that need them (Persian, Hindi and so on; Unicode core specification, 23.2), and the
three registered flag sequences made of tags.
"""

from __future__ import annotations

import re
from bisect import bisect_right

_JOINERS = "\u200c\u200d"
_ALWAYS = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0d"
    "\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e0fff"
)
_SUSPECT = re.compile(f"[{_JOINERS}{_ALWAYS}]")

# Scripts whose letters join: Arabic and its extensions, Syriac, N'Ko, Mongolian, the scripts of India, Sinhala, Khmer.
_JOINING = "\u0600-\u07ff\u0860-\u08ff\u0900-\u0dff\u1780-\u18af\ufb50-\ufdff\ufe70-\ufefc"
_EMOJI = "\u2190-\u2bff\u3030\u303d\ufe0f\U0001f000-\U0001faff"
_FLAG = "\U0001f3f4"
_TAGS = tuple(
    "".join(chr(0xE0000 + ord(char)) for char in region) + "\U000e007f" for region in ("gbeng", "gbsct", "gbwls")
)
_KEPT = re.compile(
    f"(?<=[{_JOINING}])[{_JOINERS}](?=[{_JOINING}])|(?<=[{_EMOJI}])\u200d(?=[{_EMOJI}])|(?<={_FLAG})(?:{'|'.join(_TAGS)})"
)
_OPEN = re.compile(f"(?:[{_JOINERS}]|{_FLAG}[\U000e0061-\U000e007a]{{0,5}})\\Z")


class Cleaner:
    """Removes invisible characters from a text that arrives in pieces, and knows where each one was.

    Positions in the cleaned text are turned into positions in the raw text by `locate`.
    """

    def __init__(self) -> None:
        self.removed: list[tuple[int, int]] = []  # where runs of removed characters were in the raw text
        self._held = ""  # raw text whose last character is not decided
        self._last = ""  # the last raw character before it
        self._raw = 0  # length of what was decided, raw
        self._gaps: list[int] = []  # position in the clean text of each removed run ...
        self._shift: list[int] = []  # ... and how many characters were removed up to and with it

    def feed(self, text: str) -> str:
        """The cleaned text as far as it is decided."""
        if not self._held and text.isascii():
            if text:
                self._raw += len(text)
                self._last = text[-1]
            return text
        text = self._held + text
        open_end = _OPEN.search(text)
        cut = open_end.start() if open_end else len(text)
        self._held = text[cut:]
        return self._clean(text[:cut], text[cut : cut + 1])

    def close(self) -> str:
        """The rest."""
        text, self._held = self._held, ""
        return self._clean(text, "")

    def _clean(self, text: str, following: str) -> str:
        if not text:
            return ""
        before, self._last = self._last, text[-1]
        start, self._raw = self._raw, self._raw + len(text)
        if _SUSPECT.search(text) is None:
            return text
        context = before + text + following
        kept = {
            index
            for match in _KEPT.finditer(context)
            for index in range(match.start() - len(before), match.end() - len(before))
        }
        out: list[str] = []
        position = 0
        for match in _SUSPECT.finditer(text):
            index = match.start()
            if index in kept:
                continue
            out.append(text[position:index])
            position = index + 1
            self._remove(start + index)
        out.append(text[position:])
        return "".join(out)

    def _remove(self, raw: int) -> None:
        total = self._shift[-1] if self._shift else 0
        if self.removed and self.removed[-1][1] == raw:
            self.removed[-1] = (self.removed[-1][0], raw + 1)
            self._shift[-1] += 1
        else:
            self.removed.append((raw, raw + 1))
            self._gaps.append(raw - total)
            self._shift.append(total + 1)

    def locate(self, start: int, end: int) -> tuple[int, int]:
        """Where a place of the cleaned text begins and ends in the raw text."""
        if not self._gaps:
            return start, end
        first = bisect_right(self._gaps, start)
        last = bisect_right(self._gaps, end - 1) if end > start else first
        return (start + (self._shift[first - 1] if first else 0), end + (self._shift[last - 1] if last else 0))
