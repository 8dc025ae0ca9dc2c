"""Guards for LLM applications that compose with ``|`` around any LangChain chain."""

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
from langchain_guard.injection import InjectionDetector, Spotlight
from langchain_guard.rate_limit import Decision, Limit, MemoryStore, Penalty, RateLimiter, RedisStore, wait_retry_after
from langchain_guard.refusal import on_refusal
from langchain_guard.scrub import Canary, OutputScrubber, ScrubRule, Vault
from langchain_guard.tool_scope import Arg, ScopedTool, ToolRule, ToolScope, scope_tools
from langchain_guard.verdict import Finding, Verdict

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
