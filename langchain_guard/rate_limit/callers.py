"""Who a call counts for: the key of every scope, and the limits of that kind of caller. Imports no LangChain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from langchain_guard.errors import ConfigError
from langchain_guard.identity import ANONYMOUS, GLOBAL, Identity, account_key, normalize_ip
from langchain_guard.rate_limit.limits import Limit, by_scope

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from langchain_guard.rate_limit.protocol import Plan, Store, Subject

Require = Literal["caller", "account", "verified"]

TIERS = ("verified", "account", "anonymous")
"""The tiers that callers belong to by what is known of them, the most trusted first."""


class Caller(NamedTuple):
    """Who calls, as a limiter sees it.

    Attributes:
        subjects: A key and the compiled limits for each scope that has limits. The caller's own key comes first, with
            no limits if it has none, since time-outs and bans are the caller's.
        limits: All limits of this caller, caps on a single call included.
        key: The caller's own key.
    """

    subjects: tuple[Subject, ...]
    limits: tuple[Limit, ...]
    key: str


class Unknown(Exception):
    """The caller is less known than the limiter requires; the text says what is missing."""


@dataclass(frozen=True, slots=True)
class Callers:
    """How a limiter tells its callers apart.

    Attributes:
        store: Compiles their limits.
        limits: The limits of callers whose tier has none of its own; those of scope ip and global are everybody's.
        tiers: Limits by kind of caller.
        key: "user_id", "client_ip", or a callable from the config to an account's name.
        require: What must be known of a caller.
        cache: The compiled limits per tier.
        nothing: No limits, compiled.
    """

    store: Store
    limits: tuple[Limit, ...]
    tiers: Mapping[str, tuple[Limit, ...]]
    key: str | Callable[[Any], str | None]
    require: Require | None
    cache: dict[tuple[str, ...], tuple[tuple[Limit, ...], dict[str, Any]]]
    nothing: Plan

    def of(self, identity: Identity, config: Any) -> Caller:
        """The caller that a config names.

        Raises:
            Unknown: It does not name one that is known well enough.
        """
        if self.require == "account" and identity.user is None:
            raise Unknown("an account (user_id)")
        if self.require == "verified" and not identity.verified:
            raise Unknown("a verified account")
        if callable(self.key):
            name = self.key(config)
            key = account_key(str(name)) if name not in {None, ""} else ANONYMOUS
        elif self.key == "client_ip":
            key = f"ip:{identity.ip}" if identity.ip else ANONYMOUS
        else:
            key = identity.key
        if self.require == "caller" and key == ANONYMOUS:
            raise Unknown("an account (user_id) or an address (client_ip)")
        tiers = (identity.tier, "verified") if identity.verified else (identity.tier,)
        named = identity.user is not None or (callable(self.key) and key != ANONYMOUS)
        known = "account" if named else "anonymous"
        return self._with_limits(key, f"ip:{identity.ip}" if identity.ip else ANONYMOUS, (*tiers, known))

    def spelled(self, key: str, ip: str | None = None, tier: str | None = None) -> Caller:
        """The caller with this key, for calls outside of a chain; an address alone limits only where it is known."""
        if key == GLOBAL:
            return self._with_limits(GLOBAL, None, ())
        address = key if key.startswith("ip:") else ip
        known = "anonymous" if key == ANONYMOUS or key.startswith("ip:") else "account"
        return self._with_limits(key, address, (tier, known))

    def _with_limits(self, key: str, address: str | None, kinds: tuple[str | None, ...]) -> Caller:
        if not self.limits:  # a kind of caller without limits of its own has those of callers of whom nothing is known
            kinds = (*kinds, "anonymous")
        names = tuple(kind for kind in kinds if kind is not None and kind in self.tiers)[:1]
        found = self.cache.get(names)
        if found is None:
            found = self.cache[names] = self._compiled(names)
        limits, plans = found
        whose = {"user": key if key != GLOBAL else None, "ip": address, "global": GLOBAL}
        subjects = tuple((who, plan) for scope, plan in plans.items() if (who := whose[scope]) is not None)
        if not subjects or subjects[0][0] != key:
            subjects = ((key, self.nothing), *subjects)
        return Caller(subjects, limits, key)

    def _compiled(self, names: tuple[str, ...]) -> tuple[tuple[Limit, ...], dict[str, Any]]:
        limits = self.limits
        if names:
            own = self.tiers[names[0]]
            taken = {(limit.scope, limit.measure, limit.period) for limit in own}
            everybodys = (limit for limit in limits if limit.scope != "user")
            limits = (*own, *(x for x in everybodys if (x.scope, x.measure, x.period) not in taken))
        return limits, {scope: self.store.plan(found) for scope, found in by_scope(limits).items()}


def as_key(key: Any) -> str:
    """A key that was spelled by hand: an address in it is brought into the one spelling that callers have.

    Raises:
        ConfigError: It is empty or no str, or its address is none.
    """
    if not isinstance(key, str) or not key:
        raise ConfigError(
            f"a key is a non-empty str such as 'u1', 'ip:203.0.113.9', 'anonymous' or 'global', not {type(key).__name__}"
        )
    return f"ip:{normalize_ip(key[3:])}" if key.startswith("ip:") else key
