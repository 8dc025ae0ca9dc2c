r"""Judging JSON while it arrives, such as the arguments of a tool call.

The strings are judged decoded, each by a scanner of its own: an escape (``bob\u0040example.com``) hides nothing, and what
replaces a value is escaped again, so that valid JSON stays valid. What is not JSON after all is judged as plain text from
there on. The grammar is that of RFC 8259.

This module imports nothing of LangChain.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from langchain_guard.policy import PLAIN_KEY
from langchain_guard.verdict import Action, Finding, worst

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_guard.streaming import Scanner

_ESCAPED = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_PLAIN_RUN = re.compile(r'[^"\\]+')
_STRUCTURE = re.compile(r"[{}\[\],:\s]+")
_BARE = re.compile(r'[^{}\[\],:\s"]+')
_VALUE = re.compile(r"true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?")
_VALUE_START = re.compile(
    r"(?:t(?:r(?:ue?)?)?|f(?:a(?:l(?:se?)?)?)?|n(?:u(?:ll?)?)?|-?(?:0|[1-9]\d*)?(?:\.\d*)?(?:[eE][+-]?\d*)?)"
)
_INTEGER = re.compile(r"-?\d{7,}")  # shorter numbers cannot be a card, a phone or an id


class JsonScanner:
    """A `Scanner` for a channel that carries JSON.

    Its findings count code points in the decoded string, which `where` names by its path, such as ``items[0].to``; a key
    that is no plain identifier or was changed is written ``[*]``.

    Args:
        scanner: Makes the scanner for one decoded string.
    """

    def __init__(self, scanner: Callable[[], Scanner]) -> None:
        self.action: Action = "allow"
        self.findings: list[Finding] = []
        self._make = scanner
        self._string: Scanner | None = None  # judges the string that is open
        self._plain: Scanner | None = None  # judges everything, once the text is known to be no JSON
        self._pending = ""  # raw text that is not decided: part of an escape, or a bare word
        self._key = ""  # decoded text of the open string, as long as it may be a plain key
        self._shown = ""  # and what was written for it
        self._stack: list[list[str | int]] = []  # open containers: ["{", the last key] or ["[", the last index]
        self._after_colon = False

    def feed(self, text: str) -> str:
        """Take the next piece; returns what may leave now."""
        if self._blocked() or not text:
            return ""
        raw, self._pending = self._pending + text, ""
        out: list[str] = []
        position = 0
        while position < len(raw) and not self._blocked():
            if self._plain is not None:
                out.append(self._plain_feed(raw[position:]))
                break
            if self._string is not None:
                position = self._in_string(raw, position, out)
            else:
                position = self._between(raw, position, out)
            if self._pending:
                break
        return "".join(out)

    def close(self) -> str:
        """The text has ended; returns the rest."""
        if self._blocked():
            return ""
        raw, self._pending = self._pending, ""
        if self._plain is not None:
            return self._plain_close()
        if self._string is not None:
            # the text broke off inside a string: it stays open, as it came
            return self._encode(self._string_close()) + ("" if self._blocked() else raw)
        return self._bare(raw) if raw else ""

    def _blocked(self) -> bool:
        return self.action == "block"

    # -- inside a string

    def _in_string(self, raw: str, position: int, out: list[str]) -> int:
        """Decode up to the end of the string or of the text."""
        decoded: list[str] = []
        closed = False
        while position < len(raw):
            run = _PLAIN_RUN.match(raw, position)
            if run is not None:
                decoded.append(run.group())
                position = run.end()
                continue
            if raw[position] == '"':
                position, closed = position + 1, True
                break
            char, end = _escape(raw, position)
            if end < 0:
                self._pending = raw[position:]
                break
            decoded.append(char)
            position = end
        text = "".join(decoded)
        assert self._string is not None
        released = self._string.feed(text)
        if len(self._key) <= 64:
            self._key += text
        self._emit(released, out)
        if closed and self._string.action != "block":
            self._emit(self._string_close(), out)
            if not self._blocked():
                out.append('"')
        if self._string is not None:
            self.action = worst((self.action, self._string.action))
            if self._blocked():
                self._report(self._string, self._where())
        return position

    def _emit(self, text: str, out: list[str]) -> None:
        if text:
            if len(self._shown) <= 64:
                self._shown += text
            out.append(self._encode(text))

    def _string_close(self) -> str:
        """End the open string; returns what it held, decoded."""
        scanner, self._string = self._string, None
        assert scanner is not None
        held = scanner.close()
        self.action = worst((self.action, scanner.action))
        is_key = bool(self._stack) and self._stack[-1][0] == "{" and not self._after_colon
        if is_key:
            shown = self._shown + held
            plain = self._key if shown == self._key and PLAIN_KEY.fullmatch(self._key) else "*"
            self._stack[-1][1] = plain
            self._report(scanner, self._where("*"))
        else:
            self._report(scanner, self._where())
        return held

    def _report(self, scanner: Scanner, where: str) -> None:
        self.findings += [replace(finding, where=where) for finding in scanner.findings]

    def _where(self, key: str | None = None) -> str:
        path = ""
        for depth, (kind, name) in enumerate(self._stack):
            last = key is not None and depth == len(self._stack) - 1
            step = "*" if last else name
            path += f"[{step}]" if kind == "[" or step in {"*", ""} else f".{step}" if path else str(step)
        return path

    @staticmethod
    def _encode(text: str) -> str:
        """The text as it stands inside a JSON string; lone surrogates stay escaped, since UTF-8 has none."""
        encoded = json.dumps(text, ensure_ascii=False)[1:-1]
        return encoded if encoded.isascii() or encoded.isprintable() else _SURROGATE.sub(_escaped_surrogate, encoded)

    # -- between strings

    def _between(self, raw: str, position: int, out: list[str]) -> int:
        """One step outside of strings: structure, the beginning of a string, or a bare word."""
        structure = _STRUCTURE.match(raw, position)
        if structure is not None:
            for mark in structure.group():
                self._mark(mark)
            out.append(structure.group())
            return structure.end()
        if raw[position] == '"':
            self._string, self._key, self._shown = self._make(), "", ""
            out.append('"')
            return position + 1
        word = _BARE.match(raw, position)
        assert word is not None
        if word.end() < len(raw):
            if _VALUE.fullmatch(word.group()):
                out.append(self._bare(word.group()))
                return word.end()
        elif _VALUE_START.fullmatch(word.group()):
            self._pending = word.group()
            return word.end()
        self._plain = self._make()  # no JSON: the rest is text
        return position

    def _mark(self, mark: str) -> None:
        if mark in "{[":
            self._stack.append([mark, "" if mark == "{" else 0])
            self._after_colon = False
        elif mark in "}]":
            if self._stack:
                self._stack.pop()
            self._after_colon = bool(self._stack) and self._stack[-1][0] == "{"
        elif mark == ":":
            self._after_colon = True
        elif mark == "," and self._stack:
            self._after_colon = False
            if self._stack[-1][0] == "[":
                self._stack[-1][1] = int(self._stack[-1][1]) + 1

    def _bare(self, word: str) -> str:
        """A number or a literal name that is whole: a number that a rule changes becomes a string."""
        if not _INTEGER.fullmatch(word):
            if _VALUE.fullmatch(word) is None and not _VALUE_START.fullmatch(word):
                self._plain = self._make()
                return self._plain_feed(word) + self._plain_close()
            return word
        scanner = self._make()
        changed = scanner.feed(word) + scanner.close()
        self.action = worst((self.action, scanner.action))
        self._report(scanner, self._where())
        if self._blocked():
            return ""
        return word if changed == word else json.dumps(changed, ensure_ascii=False)

    # -- no JSON

    def _plain_feed(self, text: str) -> str:
        assert self._plain is not None
        out = self._plain.feed(text)
        self.action = worst((self.action, self._plain.action))
        if self._blocked():
            out += self._plain_close()
        return out

    def _plain_close(self) -> str:
        scanner, self._plain = self._plain, None
        assert scanner is not None
        held = scanner.close()
        self.action = worst((self.action, scanner.action))
        self._report(scanner, self._where())
        return held


_SURROGATE = re.compile("[\ud800-\udfff]")


def _escaped_surrogate(match: re.Match[str]) -> str:
    return f"\\u{ord(match.group()):04x}"


def _escape(raw: str, position: int) -> tuple[str, int]:
    """The character of an escape and where it ends; -1 if it is not whole. What is no escape stands for itself."""
    if position + 1 >= len(raw):
        return "", -1
    letter = raw[position + 1]
    if letter != "u":
        plain = _ESCAPED.get(letter)
        return (plain, position + 2) if plain is not None else ("\\", position + 1)
    digits = raw[position + 2 : position + 6]
    if not _is_hex(digits):
        return "\\", position + 1
    if len(digits) < 4:
        return "", -1
    point, end = int(digits, 16), position + 6
    if not 0xD800 <= point < 0xDC00:
        return chr(point), end
    # the first half of a pair: the second decides
    following = raw[end : end + 6]
    if not "\\u".startswith(following[:2]) or not _is_hex(following[2:]):
        return chr(point), end
    if len(following) < 6:
        return "", -1
    low = int(f"0x{following[2:]}", 0)
    if not 0xDC00 <= low < 0xE000:
        return chr(point), end
    return chr(0x10000 + ((point - 0xD800) << 10) + (low - 0xDC00)), end + 6


def _is_hex(digits: str) -> bool:
    return all(digit in "0123456789abcdefABCDEF" for digit in digits)
