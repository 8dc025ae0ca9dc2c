"""Rules for every test: no network but loopback, no settings of the machine, no deadline, what is missing is skipped."""

from __future__ import annotations

import ipaddress
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# A developer's own keys, tracing and proxies must not change what a test sees.
for name in list(os.environ):
    if name.upper().startswith(
        ("LANGSMITH_", "LANGCHAIN_TRACING", "LANGCHAIN_API", "OPENAI_")
    ) or name.upper().endswith("_PROXY"):
        del os.environ[name]

# The machine that runs the tests may be slow: no test judges a duration, and a failure can be replayed.
settings.register_profile(
    "langchain_guard", deadline=None, database=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("langchain_guard")


def _postgres() -> bool:
    return bool(shutil.which("postgres") or any(Path("/usr/lib/postgresql").glob("*/bin/postgres")))


_NEEDS = {
    "data": (lambda: "LANGCHAIN_GUARD_DATA" in os.environ, "LANGCHAIN_GUARD_DATA names no folder of labelled data"),
    "redis": (lambda: shutil.which("redis-server") is not None, "no redis-server on this machine"),
    "postgres": (_postgres, "no PostgreSQL server binaries on this machine"),
}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip, with the reason, what this machine cannot run; leave slow tests to ``-m slow``."""
    absent = {marker: reason for marker, (available, reason) in _NEEDS.items() if not available()}
    slow_wanted = "slow" in (config.option.markexpr or "")
    for item in items:
        for marker, reason in absent.items():
            if item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))
        if item.get_closest_marker("slow") and not slow_wanted:
            item.add_marker(pytest.mark.skip(reason="slow: ask for it with -m slow"))


def _is_loopback(host: object) -> bool:
    if host in {"", "localhost", None}:
        return True
    try:
        return ipaddress.ip_address(str(host)).is_loopback
    except ValueError:
        return False


def _loopback_only(event: str, arguments: tuple[Any, ...]) -> None:
    """A test that reaches for the network fails, on every machine, with or without a network.

    An audit hook and no patch of `socket`: pytest-socket, which comes with langchain-tests, undoes patches.
    """
    if event == "socket.connect" and isinstance(arguments[1], tuple) and not _is_loopback(arguments[1][0]):
        raise RuntimeError(f"a test tried to reach {arguments[1][0]}")


sys.addaudithook(_loopback_only)
