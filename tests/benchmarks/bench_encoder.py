"""What the encoder costs beside the linear model: ``python tests/benchmarks/bench_encoder.py``.

CPU time of all threads (`time.process_time`), the least of interleaved rounds; load time and memory in a fresh process.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time

from langchain_guard.injection.encoder import EncoderDetector
from langchain_guard.injection.encoder.paired import PairedDetector
from langchain_guard.injection.policy import BuiltIn

SENTENCE = (
    "The council approved the new bridge on Monday, and {} said that the work would begin before the end of May. "
)
SIZES = (200, 2_000, 20_000)

FRESH = """
import re, time
from pathlib import Path
from langchain_guard.injection.encoder import EncoderDetector
import langchain_guard.injection.linear
def peak(): return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024  # Linux
detector = EncoderDetector()
before, began, cpu = peak(), time.perf_counter(), time.process_time()
detector.score(["What is the capital of France?"], "user")
print(f"first use {time.perf_counter() - began:.2f} s wall, {time.process_time() - cpu:.2f} s CPU")
print(f"peak memory over the package {peak() - before:.0f} MB after the first use", end="")
detector.score(["Some words of a document that is long. " * 500], "document")
print(f", {peak() - before:.0f} MB after 20,000 characters")
"""


def prose(size: int) -> str:
    """*size* characters in which no sentence is the same."""
    return "".join(SENTENCE.format(f"speaker {number}") for number in range(size // 80 + 1))[:size]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    linear, encoder = BuiltIn(), EncoderDetector(threads=options.threads)
    detectors = {"linear": linear, "encoder": encoder, "both": PairedDetector(linear, encoder)}
    for size in SIZES:
        text = prose(size)
        best = dict.fromkeys(detectors, float("inf"))
        for detector in detectors.values():
            detector.score([text], "document")
        for _ in range(options.rounds):
            for name, detector in detectors.items():
                began = time.process_time()
                detector.score([text], "document")
                best[name] = min(best[name], time.process_time() - began)
        print(f"{size:>6} characters  " + "  ".join(f"{name} {1e3 * best[name]:8.2f} ms" for name in detectors))
    print(subprocess.run([sys.executable, "-c", FRESH], capture_output=True, text=True, check=True).stdout, end="")


if __name__ == "__main__":
    main()
