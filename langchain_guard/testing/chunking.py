"""The streaming law as one call: however a text is cut into chunks, the same comes out."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


class Scanner(Protocol):
    """Judges one channel of text as it arrives, such as ``OutputScrubber().scanner()``."""

    def feed(self, text: str) -> str:
        """Take the next piece; return what may leave now."""

    def close(self) -> str:
        """The text is over; return the rest."""


def assert_chunking_invariant(
    scanner_factory: Callable[[], Scanner], text: str, expected: str, *, samples: int = 200, seed: int = 0
) -> None:
    """Check that a scanner's output does not depend on how its input is cut.

    Tries the text in one piece, every cut into two, every fixed piece length up to 64 characters, empty pieces, and
    `samples` random cuts. Everything released so far must be the beginning of `expected` at every moment: nothing is
    taken back, and nothing leaves that the whole text would not show.

    Args:
        scanner_factory: Makes a fresh scanner for each try, such as ``OutputScrubber().scanner``.
        text: The raw text.
        expected: What must come out, such as ``OutputScrubber().scrub(text)``.
        samples: How many random cuts to try.
        seed: Seed of the random cuts.

    Raises:
        AssertionError: A cut gave something else; names the lengths of the pieces, which replay it.
    """
    for pieces in _partitions(text, samples, random.Random(seed)):  # noqa: S311  # chooses test cases, no secret
        scanner, released = scanner_factory(), ""
        for number, piece in enumerate(pieces, 1):
            released += scanner.feed(piece)
            if not expected.startswith(released):
                raise AssertionError(f"after {number} of the pieces {_lengths(pieces)}: {released!r} left early")
        released += scanner.close()
        if released != expected:
            raise AssertionError(f"pieces {_lengths(pieces)} give {released!r}, expected {expected!r}")


def _partitions(text: str, samples: int, rng: random.Random) -> Iterator[list[str]]:
    yield [text]
    yield ["", text, ""]
    for size in range(1, min(len(text), 64)):
        yield [text[i : i + size] for i in range(0, len(text), size)]
    for at in range(1, len(text)):
        yield [text[:at], text[at:]]
    for _ in range(samples):
        cuts = sorted(rng.sample(range(len(text) + 1), k=rng.randint(0, min(len(text), 24))))
        yield [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]


def _lengths(pieces: Iterable[str]) -> list[int]:
    return [len(piece) for piece in pieces]
