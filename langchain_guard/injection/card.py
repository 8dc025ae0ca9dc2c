"""The card of a model: the ``.json`` beside its tables. Read without numpy, so that a wrong path is an error at once."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from langchain_guard.errors import ConfigError
from langchain_guard.injection.detector import SOURCES

if TYPE_CHECKING:
    from pathlib import Path

_NUMBERS: Final = ("scale", "bias", "growth", "width", "stride")


def tables_of(path: Path) -> Path:
    """Where the tables of the model with the card `path` lie."""
    return path.with_suffix(".bin")


def read_card(path: Path) -> dict[str, Any]:
    """The card at `path`; its tables and its self-test are checked when the model is loaded.

    Raises:
        ConfigError: There is no such file, its tables are not beside it, or it is no model's card.
    """
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
        complete = tables_of(path).is_file() and isinstance(card["self_test"], dict) and isinstance(card["sha256"], str)
        for source in SOURCES:
            head = card["heads"][source]
            complete &= all(isinstance(head[name], int | float) for name in _NUMBERS)
            complete &= isinstance(head["rules"], dict) and isinstance(head["knots"], list)
    except (OSError, ValueError, KeyError, TypeError):
        complete = False
    if not complete:
        raise ConfigError(f"{path.name} is not a model of langchain_guard (a .json card with its .bin beside it)")
    return card  # type: ignore[no-any-return]
