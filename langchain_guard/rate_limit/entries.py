"""Everybody's entries, bounded, in the order of last use; no operation ever touches all of them. Imports no LangChain.

Python grows a dict by copying it, which at a million keys is a pause of a tenth of a second; so the keys are spread over
64 dicts, which grow one at a time. In each, the caller who has been idle longest comes first, but for calls in a spell
(see spells.py), which move nobody: that is at most 1/64 of a period, by which entries outlive their windows anyway.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from langchain_guard.rate_limit import policy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langchain_guard.rate_limit.spells import Spell

_PARTS = 64
_SMALL = 100 * _PARTS
"""Up to so many keys one dict is quick enough."""
_SPELLS = 100 * _PARTS
"""Most callers at a time whose calls are only counted."""


class Entries:
    """What callers used, by key.

    Args:
        max_keys: Most keys that are remembered.
        evict: What happens to a new one beyond that: it is refused, or the one idle longest is forgotten for it.
    """

    def __init__(self, max_keys: int, *, evict: bool) -> None:
        self.max_keys, self.evict = max_keys, evict
        parts = _PARTS if max_keys > _SMALL else 1
        self.parts: tuple[OrderedDict[str, policy.Entry], ...] = tuple(OrderedDict() for _ in range(parts))
        self.mask = parts - 1
        self.count = self.turn = 0
        self.spells: OrderedDict[str, Spell] = OrderedDict()

    def part(self, key: str) -> OrderedDict[str, policy.Entry]:
        """The dict that holds the key, or would."""
        return self.parts[hash(key) & self.mask]

    def get(self, key: str) -> policy.Entry | None:
        """The entry of a key; its spell is over."""
        self.end(key)
        return self.part(key).get(key)

    def begin(self, key: str, spell: Spell) -> None:
        """From now on the calls of a key are only counted."""
        if len(self.spells) >= _SPELLS:
            self.spells.popitem(last=False)[1].end()
        self.spells[key] = spell

    def end(self, key: str) -> None:
        """The spell of a key is over, if there is one, and is written to its entry."""
        spell = self.spells.pop(key, None)
        if spell is not None:
            spell.end()

    def put(self, key: str, entry: policy.Entry) -> None:
        """Remember an entry."""
        part = self.part(key)
        self.count += key not in part
        part[key] = entry

    def touch(self, key: str) -> None:
        """A key was used just now."""
        self.part(key).move_to_end(key)

    def drop(self, key: str) -> None:
        """Forget a key."""
        self.spells.pop(key, None)
        self.count -= self.part(key).pop(key, None) is not None

    def admits(self, key: str, cut: float) -> bool:
        """Whether there is room for a new key; a few that were idle since `cut` are swept for it.

        Args:
            key: The new key.
            cut: A caller that used nothing since then has nothing left in any window.
        """
        self.turn = (self.turn + 1) & self.mask
        for part in (self.part(key), self.parts[self.turn]):
            self._sweep(part, 2, cut)
        if self.count < self.max_keys:
            return True
        oldest = min(self._oldest(), key=lambda found: found[0])
        if oldest[0] > cut and not self.evict:
            return False
        self.drop(next(iter(oldest[1])))
        return True

    def idle_since(self) -> float:
        """When the caller who is idle longest used something last."""
        return min(found[0] for found in self._oldest())

    def _sweep(self, part: OrderedDict[str, policy.Entry], most: int, cut: float) -> None:
        for _ in range(most):
            if not part or policy.last(part[next(iter(part))]) > cut:
                return
            self.drop(next(iter(part)))

    def _oldest(self) -> Iterator[tuple[float, OrderedDict[str, policy.Entry]]]:
        """The first of every dict: when it was used last, and where it stands."""
        for part in self.parts:
            if part:
                yield policy.last(part[next(iter(part))]), part
