"""Guards for LLM applications that compose with ``|`` around any LangChain chain.

Errors, verdicts and identities are here at once. Each guard is loaded when it is first named, so that an application
waits for the guards that it uses and for no other.
"""

import importlib
from typing import TYPE_CHECKING, Any

from langchain_guard.errors import (
    Banned,
    ConfigError,
    GuardError,
    GuardUnavailable,
    IdentityRequired,
    InjectionDetected,
    OutputBlocked,
    RateLimitExceeded,
    Refused,
    ToolDenied,
)
from langchain_guard.events import collect_verdicts
from langchain_guard.identity import Identity
from langchain_guard.verdict import Finding, Verdict

if TYPE_CHECKING:
    from langchain_guard.injection import InjectionDetector, Spotlight
    from langchain_guard.rate_limit import (
        Decision,
        Limit,
        MemoryStore,
        Penalty,
        RateLimiter,
        RedisStore,
        wait_retry_after,
    )
    from langchain_guard.refusal import on_refusal
    from langchain_guard.scrub import Canary, OutputScrubber, ScrubRule, Vault
    from langchain_guard.tool_scope import Arg, ScopedTool, ToolRule, ToolScope, scope_tools

__all__ = [
    "Arg",
    "Banned",
    "Canary",
    "ConfigError",
    "Decision",
    "Finding",
    "GuardError",
    "GuardUnavailable",
    "Identity",
    "IdentityRequired",
    "InjectionDetected",
    "InjectionDetector",
    "Limit",
    "MemoryStore",
    "OutputBlocked",
    "OutputScrubber",
    "Penalty",
    "RateLimitExceeded",
    "RateLimiter",
    "RedisStore",
    "Refused",
    "ScopedTool",
    "ScrubRule",
    "Spotlight",
    "ToolDenied",
    "ToolRule",
    "ToolScope",
    "Vault",
    "Verdict",
    "collect_verdicts",
    "on_refusal",
    "scope_tools",
    "wait_retry_after",
]

_LOADED_WHEN_NAMED = {
    "injection": ("InjectionDetector", "Spotlight"),
    "rate_limit": ("Decision", "Limit", "MemoryStore", "Penalty", "RateLimiter", "RedisStore", "wait_retry_after"),
    "refusal": ("on_refusal",),
    "scrub": ("Canary", "OutputScrubber", "ScrubRule", "Vault"),
    "tool_scope": ("Arg", "ScopedTool", "ToolRule", "ToolScope", "scope_tools"),
}

if not TYPE_CHECKING:  # a type checker reads the imports above, and would take any name from this function

    def __getattr__(name: str) -> Any:
        if name in _LOADED_WHEN_NAMED:
            return importlib.import_module(f"{__name__}.{name}")
        for module, names in _LOADED_WHEN_NAMED.items():
            if name in names:
                value = getattr(importlib.import_module(f"{__name__}.{module}"), name)
                globals()[name] = value  # asked once
                return value
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
