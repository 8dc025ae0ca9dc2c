"""The benchmarks run; what they show is read, never asserted."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path


def test_bench_shell_prints_every_row() -> None:
    script = Path(__file__).with_name("bench_shell.py")
    command = [sys.executable, str(script), "--rounds", "1", "--number", "2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    for row in ("shell (small text policy)", "RateLimiter", "InjectionDetector", "OutputScrubber", "ToolScope"):
        assert len(re.findall(rf"^{re.escape(row)} +-?\d", done.stdout, re.MULTILINE)) == 2
    assert re.search(r"us/invoke +-?\d+\.\d us/chunk", done.stdout)
    assert re.search(r"import langchain_guard: \d+ ms CPU; with every guard \d+ ms", done.stdout)
