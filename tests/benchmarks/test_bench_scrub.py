"""The scrubber's benchmark runs; what it shows is read, never asserted."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_bench_scrub_prints_every_row() -> None:
    script = Path(__file__).with_name("bench_scrub.py")
    done = subprocess.run([sys.executable, str(script), "speed"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    for row in ("200 characters", "200 characters, one email", "20 kB prose", "us per 5 characters", "held mean"):
        assert row in done.stdout
