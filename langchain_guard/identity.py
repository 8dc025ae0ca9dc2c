"""Who is calling, read from a `RunnableConfig`.

Only an `Identity` object under ``configurable["identity"]`` (or what the application's own ``identify`` callable
returns) can claim to be verified, to have a tier or scopes: such an object cannot come out of a client's JSON. The
plain keys ``user_id`` and ``client_ip`` name a caller and nothing more. This module imports nothing of LangChain.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from langchain_guard.errors import ConfigError, strict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_core.runnables import RunnableConfig

ANONYMOUS = "anonymous"
GLOBAL = "global"
_RESERVED = frozenset({ANONYMOUS, GLOBAL})


@strict
@dataclass(frozen=True, slots=True)
class Identity:
    """A caller, as the application knows it.

    Args:
        user: Identifier of the account; None if there is none.
        ip: Address the call came from, IPv4 or IPv6; None if unknown.
        verified: Whether the account was verified (email, phone).
        tier: Name of the caller's plan, such as ``"pro"``; chooses the limits of ``RateLimiter(tiers=...)``.
        scopes: What the caller may do, such as ``{"orders:read"}``; asked for by ``ToolRule(requires=...)``.

    Raises:
        ConfigError: An argument is unknown or of another type, the user or the tier is empty, the address is none, or
            ``verified`` is claimed without a user.
    """

    user: str | None = None
    ip: str | None = None
    verified: bool = False
    tier: str | None = None
    scopes: frozenset[str] = field(default_factory=frozenset)

    def __post_init__(self) -> None:
        if self.user is not None and (not isinstance(self.user, str) or not self.user.strip()):
            raise ConfigError("Identity(user=...) must be a non-empty str or None")
        if self.ip is not None:
            object.__setattr__(self, "ip", normalize_ip(self.ip))
        if not isinstance(self.verified, bool):  # the str "false" is true
            raise ConfigError(f"Identity(verified=...) must be True or False, not a {type(self.verified).__name__}")
        if self.verified and self.user is None:
            raise ConfigError("Identity(verified=True) needs a user: an address cannot be verified")
        if self.tier is not None and (not isinstance(self.tier, str) or not self.tier.strip()):
            raise ConfigError("Identity(tier=...) must be a non-empty str or None")
        scopes: Any = self.scopes
        if not isinstance(scopes, Collection) or isinstance(scopes, str) or not all(isinstance(s, str) for s in scopes):
            raise ConfigError("Identity(scopes=...) must be a set of str, such as {'orders:read'}")
        object.__setattr__(self, "scopes", frozenset(self.scopes))

    def __repr__(self) -> str:
        return (
            f"Identity(user={'…' if self.user else None}, ip={'…' if self.ip else None}, verified={self.verified}, "
            f"tier={self.tier!r}, scopes={sorted(self.scopes)!r})"
        )

    @property
    def id(self) -> str:
        """The account's identifier, or "" for a caller without an account."""
        return self.user or ""

    @property
    def key(self) -> str:
        """How limiters and budgets spell this caller: account, else ``ip:...``, else ``anonymous``."""
        if self.user is not None:
            return account_key(self.user)
        return f"ip:{self.ip}" if self.ip is not None else ANONYMOUS

    def config(self) -> RunnableConfig:
        """A `RunnableConfig` that carries this caller: ``chain.invoke(x, config=identity.config())``."""
        return {"configurable": {"identity": self}}


def account_key(user: str) -> str:
    """The spelling of an account, kept apart from addresses and from the reserved words."""
    return f"user:{user}" if user.startswith(("ip:", "user:")) or user in _RESERVED else user


def normalize_ip(ip: str) -> str:
    """One spelling per caller's address: IPv6 as its /64 network, IPv4-mapped IPv6 as IPv4.

    A household or a server commonly owns a whole /64 (RFC 6177), so a single IPv6 address identifies nobody.

    Raises:
        ConfigError: It is not an address.
    """
    if not isinstance(ip, str):
        raise ConfigError(
            f"an IP address must be a str, such as '203.0.113.9' or '2001:db8::1', not a {type(ip).__name__}"
        )
    try:
        address = ipaddress.ip_address(
            ip.strip().strip("[]").removesuffix("/64")
        )  # its own spelling is an address, too
    except ValueError:
        raise ConfigError("an IP address must be IPv4 or IPv6, such as '203.0.113.9' or '2001:db8::1'") from None
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.IPv6Network((int(address) >> 64 << 64, 64)))
    return str(address)


def identity_of(config: Mapping[str, Any] | None) -> Identity:
    """The caller that a `RunnableConfig` names; an empty Identity when it names nobody.

    A plain ``user_id`` or ``client_ip`` of the wrong type or shape is treated as missing, never as another caller.
    """
    configurable = (config or {}).get("configurable") or {}
    identity = configurable.get("identity")
    if isinstance(identity, Identity):
        return identity
    user, ip = configurable.get("user_id"), configurable.get("client_ip")
    if isinstance(user, int) and not isinstance(user, bool):
        user = str(user)
    user = user if isinstance(user, str) and user.strip() else None
    try:
        ip = normalize_ip(ip) if isinstance(ip, str) and ip.strip() else None
    except ConfigError:
        ip = None
    return Identity(user=user, ip=ip)


def hashed(key: str) -> str:
    """A caller's key as events, logs and Redis see it: 16 hexadecimal digits of BLAKE2b (RFC 7693)."""
    return hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
