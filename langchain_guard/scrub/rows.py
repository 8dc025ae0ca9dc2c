"""What a row of the rule tables is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

Group = Literal["secrets", "pii", "opt-in"]

EDGE = r"(?<!(?<!\\)[A-Za-z0-9])(?<![A-Za-z0-9]_)"
"""Nothing of a word stands before. The letter of an escape (the ``n`` of a spelled-out ``\\n``) and the ``_`` of Markdown's
emphasis are no part of a word."""

END = r"(?![A-Za-z0-9]|_[A-Za-z0-9])"
"""Nothing of a word follows; the ``_`` that ends an emphasis may."""

DASH = r"(?![A-Za-z0-9-]|_[A-Za-z0-9-])"
"""As `END`, and no dash follows."""

NUMBER_EDGE = EDGE + r"(?<![.-])"
"""Nothing of a word or of a longer number stands before."""

NUMBER_END = r"(?![A-Za-z0-9-]|_[A-Za-z0-9]|\.\d)"
"""Nothing of a word or of a longer number follows."""


@dataclass(frozen=True, slots=True)
class Row:
    r"""One rule.

    Attributes:
        kind: The kind of what it finds; its label in capitals. Several rows may share one.
        pattern: Written for ASCII classes (``\\w`` is ``[A-Za-z0-9_]``). If it has a group named ``value``, only that group
            is replaced and checked.
        source: Where the form is stated: a standard, the vendor's page, or a permissively licensed rule set.
        check: Says of the matched text whether it is one; None if the form alone decides.
        hits: Texts that must be found, whole or (with a group ``value``) in part.
        misses: Texts in which this row must find nothing.
        group: "secrets", "pii", or "opt-in" for what is only looked for when named.
        longest: Repetitions that an unbounded repetition is cut to.
        mask: Whether masking keeps the last four characters.
    """

    kind: str
    pattern: str
    source: str
    check: Callable[[str], bool] | None = None
    hits: tuple[str, ...] = ()
    misses: tuple[str, ...] = ()
    group: Group = "secrets"
    longest: int = 2048
    mask: bool = False


def fake(length: int, alphabet: str = "NotARealToken0Fake1Xy2Qz3Wv") -> str:
    """A made-up value of `length` characters for an example: recognisable by eye, plausible to a check."""
    return (alphabet * (length // len(alphabet) + 1))[:length]
