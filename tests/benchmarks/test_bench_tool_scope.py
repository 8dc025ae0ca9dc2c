"""The benchmark of scoped tools runs; what it shows is read, never asserted."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path


def test_bench_tool_scope_prints_every_row() -> None:
    script = Path(__file__).with_name("bench_tool_scope.py")
    command = [sys.executable, str(script), "--rounds", "1", "--number", "2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    for row in ("any", "enum and range", "regex", "audit", "path", "url", "sql, short", "sql, CTEs and windows"):
        assert re.search(rf"^{re.escape(row)} +-?\d+\.\d +-?\d+\.\d +\d+\.\d$", done.stdout, re.MULTILINE)
