"""How the tests of the scrubber cut texts, and what must hold for every cut."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from langchain_guard.streaming import Scanner


def pieces(text: str, cuts: Iterable[int]) -> list[str]:
    """The text cut at positions, given in any order and modulo its length."""
    at = sorted({cut % (len(text) + 1) for cut in cuts} | {0, len(text)})
    return [text[a:b] for a, b in pairwise(at)]


cuts = st.lists(st.integers(0, 10_000), max_size=12)


def streamed(make: Callable[[], Scanner], parts: Iterable[str], whole: str) -> Any:
    """Feed the parts; what has left must be the beginning of `whole` at every moment."""
    scanner, out = make(), ""
    for part in parts:
        out += scanner.feed(part)
        assert whole.startswith(out), f"left too early: {out[-60:]!r}"
    out += scanner.close()
    assert out == whole
    assert scanner.close() == ""
    return scanner


def same_for_every_cut(make: Callable[[], Scanner], text: str, whole: str, findings: Any = None) -> None:
    """The law, for single characters, fives, and every cut into two."""
    for parts in (
        [text],
        list(text),
        [text[i : i + 5] for i in range(0, len(text), 5)],
        *([text[:k], text[k:]] for k in range(1, len(text))),
    ):
        scanner = streamed(make, parts, whole)
        if findings is not None:
            assert list(scanner.findings) == list(findings)
