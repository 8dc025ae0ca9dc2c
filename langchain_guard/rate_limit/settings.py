"""What a `RateLimiter` is told, how it is checked, and how it travels: dumps, pickles, copies."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from langchain_guard.errors import ConfigError
from langchain_guard.rate_limit.callers import Require
from langchain_guard.rate_limit.limits import Limit, as_limits
from langchain_guard.rate_limit.penalty import Penalty
from langchain_guard.rate_limit.protocol import OnStoreError
from langchain_guard.rate_limit.redis import RedisStore
from langchain_guard.rate_limit.store import MemoryStore
from langchain_guard.runnable import Guard

if TYPE_CHECKING:
    from collections.abc import Iterable

REDIS_URL = "LANGCHAIN_GUARD_REDIS_URL"
"""The name under which ``load(dump, secrets_map={...})`` is told the address of a server."""


class LimiterSettings(Guard):
    """The fields of a `RateLimiter`, which documents them."""

    sees_text: ClassVar[bool] = False
    reads_identity: ClassVar[bool] = True

    limits: tuple[Limit, ...] = ()
    key: Any = "user_id"
    identify: Any = None
    require: Require | None = None
    tiers: dict[str, tuple[Limit, ...]] = Field(default_factory=dict)
    on_limit: Literal["raise", "wait", "flag"] = "raise"
    max_wait: float = Field(default=60.0, ge=0, allow_inf_nan=False)
    max_waiters: int = Field(default=1000, ge=0)
    penalty: Penalty | None = None
    prices: dict[str, tuple[float, ...]] = Field(default_factory=dict)
    unknown_model: Literal["error", "dearest"] = "error"
    estimate: Any = None
    max_tokens: int | None = Field(default=None, gt=0)
    model: str | None = None
    cached_weight: float = Field(default=1.0, ge=0, le=1)
    refund_on_error: bool = False
    store: Any = Field(default_factory=MemoryStore, exclude=True)
    on_store_error: OnStoreError = "local"
    local_share: float = Field(default=0.25, ge=0, le=1)
    lease: float = Field(default=600.0, gt=0, allow_inf_nan=False)
    clock: Any = Field(default=time.monotonic, exclude=True)

    def __init__(self, *limits: str | Limit, **settings: Any) -> None:
        if limits:
            if "limits" in settings:
                raise ConfigError("RateLimiter takes its limits as positional arguments or as limits=, not both")
            settings["limits"] = limits
        if isinstance(settings.get("store"), dict) and "store_url" in settings:  # out of a dump
            settings["store"] = {**settings["store"], "url": settings.pop("store_url")}
        super().__init__(**settings)

    # -- construction

    @field_validator("limits", mode="before")
    @classmethod
    def _read_limits(cls, value: Any) -> Any:
        return as_limits(value)

    @field_validator("tiers", mode="before")
    @classmethod
    def _read_tiers(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            raise ValueError("must be a mapping from the kind of caller to its limits")  # noqa: TRY004
        return {name: as_limits(limits) for name, limits in value.items()}

    @field_validator("penalty", mode="before")
    @classmethod
    def _read_penalty(cls, value: Any) -> Any:
        return Penalty(**value) if isinstance(value, dict) else value

    @field_validator("key")
    @classmethod
    def _check_key(cls, value: Any) -> Any:
        if value not in ("user_id", "client_ip") and not callable(value):
            raise ValueError("must be 'user_id', 'client_ip' or a callable from the config to a str")
        return value

    @field_validator("identify", "estimate")
    @classmethod
    def _check_callable(cls, value: Any) -> Any:
        if value is not None and not callable(value):
            raise ValueError("must be a callable or None")
        return value

    @field_validator("clock")
    @classmethod
    def _check_clock(cls, value: Any) -> Any:
        if not callable(value):
            raise ValueError("must be a callable that returns seconds")  # noqa: TRY004
        return value

    @field_validator("store", mode="before")
    @classmethod
    def _check_store(cls, value: Any) -> Any:
        if isinstance(value, dict) and "url" in value:
            if not value["url"]:
                raise ValueError(
                    f"its address is not in the dump: load it with secrets_map={{{REDIS_URL!r}: 'redis://...'}}"
                )
            return RedisStore(**value)
        if value is None or isinstance(value, dict):
            return MemoryStore(**(value or {}))
        if not hasattr(value, "areserve"):
            raise ValueError("must be a MemoryStore or a RedisStore")
        return value

    @field_validator("prices")
    @classmethod
    def _check_prices(cls, value: dict[str, tuple[float, ...]]) -> dict[str, tuple[float, ...]]:
        for model, price in value.items():
            if len(price) not in (2, 3) or any(not 0 <= number < math.inf for number in price):
                raise ValueError(f"{model!r}: a price is (input, output) in US dollars per million tokens, at least 0")
        return value

    @model_validator(mode="after")
    def _check_whole(self) -> Self:
        if not self.limits and not self.tiers:
            raise ValueError("RateLimiter needs a limit, such as RateLimiter('20/minute')")
        if not self.limits:
            needed = {"account": ("account",), "verified": ("verified", "account")}
            kinds = needed.get(self.require or "", ("anonymous",))
            if not any(kind in self.tiers for kind in kinds):
                raise ValueError(
                    f"tiers={sorted(self.tiers)} leaves callers without any limit: name limits for {kinds[-1]!r} "
                    "callers, give limits for everybody else, or require= more of callers"
                )
        for name, limits in self.tiers.items():
            if not limits:
                raise ValueError(f"tiers[{name!r}] must hold at least one limit")
        return self

    @property
    def every_limit(self) -> Iterable[Limit]:
        """The limits of all tiers."""
        yield from self.limits
        for limits in self.tiers.values():
            yield from limits

    def must_know_prices(self) -> None:
        """Refuse to limit what a chain costs without knowing what anything costs; `hit` and `reserve` can be told.

        Raises:
            ConfigError: There is a limit on cost, and neither `prices` nor `estimate`.
        """
        if not self.prices and self.estimate is None and any(limit.measure == "cost" for limit in self.every_limit):
            raise ConfigError("RateLimiter: a limit on cost needs prices={'model': (input, output)} in US dollars")

    # -- dumps and copies

    @property
    def lc_attributes(self) -> dict[str, Any]:
        """Limits, penalties and the settings of a store as plain data."""
        plain: dict[str, Any] = {
            "limits": [limit.plain() for limit in self.limits],
            "tiers": {name: [limit.plain() for limit in limits] for name, limits in self.tiers.items()},
        }
        if self.penalty is not None:
            plain["penalty"] = self.penalty.plain()
        plain["store"] = self.store.settings()
        if self.store.remote:
            plain["store_url"] = REDIS_URL  # beside the store: a dump hides secrets of its own arguments only
        return {name: value for name, value in plain.items() if value}

    @property
    def lc_secrets(self) -> dict[str, str]:
        """A dump names the address of a server, which may hold a password, and does not tell it."""
        return {"store_url": REDIS_URL} if self.store.remote else {}

    def __getstate__(self) -> dict[Any, Any]:
        state = super().__getstate__()
        state["__dict__"] = {name: value for name, value in state["__dict__"].items() if name != "engine"}
        return state

    def __copy__(self) -> Self:
        copied = super().__copy__()
        copied.__dict__.pop("engine", None)
        return copied

    def __repr_args__(self) -> Any:
        yield None, _Names(self.limits)
        for name, value in super().__repr_args__():
            if name == "tiers":
                yield name, {tier: [str(limit) for limit in limits] for tier, limits in self.tiers.items()}
            elif name not in {"limits", "clock", "prices", "store"}:
                yield name, value


class _Names:
    """The spellings of limits, as they are written in a call."""

    def __init__(self, limits: tuple[Limit, ...]) -> None:
        self.limits = limits

    def __repr__(self) -> str:
        return ", ".join(repr(str(limit)) for limit in self.limits)
