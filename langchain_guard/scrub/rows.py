"""What a row of the rule tables is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

Group = Literal["secrets", "pii", "opt-in"]

EDGE = r"(?<!(?<!\\)\w)"
"""Nothing of a word stands before, unless it is the letter of an escape such as the ``n`` of a spelled-out ``\\n``."""

DASH = r"(?![\w-])"
"""Neither a word character nor a dash follows."""


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
