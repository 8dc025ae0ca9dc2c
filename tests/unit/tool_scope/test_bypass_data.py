"""The bars on the labelled inputs that `LANGCHAIN_GUARD_DATA` names; none of them is in this repository."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.data


def bypasses() -> Any:
    """The benchmark that counts."""
    path = Path(__file__).parents[2] / "benchmarks" / "tool_bypasses.py"
    spec = importlib.util.spec_from_file_location("tool_bypasses", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_nothing_unsafe_passes_and_what_is_harmless_does(tmp_path: Path) -> None:
    measured = bypasses()
    table = measured.table(measured.rows_of(os.environ["LANGCHAIN_GUARD_DATA"]), os.path.realpath(tmp_path))
    ours = {kind: score for kind, name, score in table if name.startswith("Arg.")}
    assert sorted(ours) == ["path", "sql", "url"]
    for score in ours.values():
        assert score.unsafe == 0
        assert score.bad > 20
        assert score.blocked <= 0.05 * score.good
    assert all(score.unsafe > 0 for _, name, score in table if name in ("first word", "sqlglot: the root is a query"))
