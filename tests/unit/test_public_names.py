"""The public names are those of the contract, each is documented, and none moves by accident."""

from __future__ import annotations

import importlib
import inspect
import pickle
import subprocess
import sys
from importlib.metadata import metadata, version
from importlib.resources import files

import pytest

import langchain_guard
from langchain_guard import errors

NAMES = [
    "RateLimiter",
    "InjectionDetector",
    "OutputScrubber",
    "ScopedTool",
    "ToolScope",
    "ToolRule",
    "Arg",
    "scope_tools",
    "Limit",
    "Penalty",
    "Identity",
    "MemoryStore",
    "RedisStore",
    "ScrubRule",
    "Vault",
    "Canary",
    "Spotlight",
    "Verdict",
    "Finding",
    "Decision",
    "collect_verdicts",
    "on_refusal",
    "wait_retry_after",
    "GuardError",
    "ConfigError",
    "Refused",
    "IdentityRequired",
    "RateLimitExceeded",
    "Banned",
    "InjectionDetected",
    "OutputBlocked",
    "ToolDenied",
    "GuardUnavailable",
]

IN_MODULES = [
    "langchain_guard.injection.Detector",
    "langchain_guard.tool_scope.readonly_sqlite",
    "langchain_guard.tool_scope.postgres_reader_sql",
    "langchain_guard.evaluation.evaluate",
    *(f"langchain_guard.testing.{name}" for name in ("ManualClock", "ScriptedChatModel", "ScriptedServer")),
    "langchain_guard.testing.assert_chunking_invariant",
]


def test_all_is_the_contract() -> None:
    assert sorted(langchain_guard.__all__) == sorted(NAMES)


def test_a_guards_module_is_found_by_its_name() -> None:
    code = "import langchain_guard; print(langchain_guard.injection.Detector.__name__)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "Detector\n"


def test_a_name_is_found_in_every_way() -> None:
    assert set(NAMES) <= set(dir(langchain_guard))
    space: dict[str, object] = {}
    exec("from langchain_guard import *", space)
    assert set(NAMES) <= set(space)
    with pytest.raises(AttributeError, match="module 'langchain_guard' has no attribute 'Nonsense'"):
        langchain_guard.Nonsense


@pytest.mark.parametrize("name", NAMES)
def test_public_name_is_documented(name: str) -> None:
    thing = getattr(langchain_guard, name)
    assert (inspect.getdoc(thing) or "").strip()
    assert thing.__doc__ != object.__doc__
    methods = inspect.getmembers(thing, lambda m: inspect.isfunction(m) or isinstance(m, property))
    own = [(n, m) for n, m in methods if not n.startswith("_") and n in vars(thing)] if inspect.isclass(thing) else []
    assert [n for n, m in own if not (inspect.getdoc(m) or "").strip()] == []


@pytest.mark.parametrize("path", IN_MODULES)
def test_name_in_its_module(path: str) -> None:
    module, _, name = path.rpartition(".")
    assert (inspect.getdoc(getattr(importlib.import_module(module), name)) or "").strip()


@pytest.mark.parametrize("name", [n for n in NAMES if inspect.isclass(getattr(langchain_guard, n, None))])
def test_class_can_be_found_where_it_says(name: str) -> None:
    """What pickle, load and tracebacks rely on."""
    cls = getattr(langchain_guard, name)
    assert pickle.loads(pickle.dumps(cls)) is cls


TREE = {
    "GuardError": Exception,
    "ConfigError": (errors.GuardError, ValueError),
    "GuardUnavailable": (errors.GuardError, RuntimeError),
    "Refused": (errors.GuardError, RuntimeError),
    "IdentityRequired": errors.Refused,
    "RateLimitExceeded": errors.Refused,
    "Banned": errors.RateLimitExceeded,
    "InjectionDetected": errors.Refused,
    "OutputBlocked": errors.Refused,
    "ToolDenied": errors.Refused,
}


@pytest.mark.parametrize(("name", "bases"), TREE.items())
def test_error_tree(name: str, bases: object) -> None:
    assert getattr(langchain_guard, name).__bases__ == (bases if isinstance(bases, tuple) else (bases,))
    assert name in str(errors.__doc__)


def test_distribution() -> None:
    assert version("langchain-guard").count(".") == 2
    meta = metadata("langchain-guard")
    assert meta["Requires-Python"] in {">=3.11,<4.0", "<4.0,>=3.11"}
    assert {"redis", "sql", "pii", "train", "agents", "notebooks", "all", "test"} <= set(meta.get_all("Provides-Extra"))
    assert (files("langchain_guard") / "py.typed").is_file()
