"""The detector's speed, and its figures per set: ``python tests/benchmarks/bench_injection.py [DATA.jsonl.gz ...]``.

Without data it shows CPU time per text (`time.process_time`, the least of interleaved rounds) over kinds and lengths,
with every view, and the time of the first use in a fresh process. With data (rows with text, label, source, kind) it
shows the table of `langchain_guard.evaluation` at the balanced profile, and what 21 ways of spelling do to the recall
and to harmless texts. Nothing is fitted here.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "injection"))

from spellings import ENCODINGS, SPELLINGS

from langchain_guard.evaluation import DOCUMENT_KINDS, evaluate, read_rows
from langchain_guard.injection import InjectionDetector
from langchain_guard.injection.policy import BuiltIn

PROSE = (
    "The council approved the new bridge on Monday, and speaker {n} said that work would begin before the end of May. "
)
CODE = "## Step {n}\n\nRun `tool --level {n}` and read `out_{n}.json`:\n\n```\nfor row in rows[{n}]:\n    print(row.name, row.value)\n```\n"
UNICODE = "Der Rat beschloß am Montag – wie erwartet – den Bau der Brücke № {n}; “endlich”, sagte Frau Müller. "
FRESH = """
import time
from langchain_guard import InjectionDetector
guard = InjectionDetector()
began, cpu = time.perf_counter(), time.process_time()
guard.score("When does the library open?")
print(f"{time.perf_counter() - began:.2f} s wall, {time.process_time() - cpu:.2f} s CPU")
"""


def text_of(template: str, size: int) -> str:
    """*size* characters in which no sentence is the same."""
    return "".join(template.format(n=n) for n in range(size // 60 + 2))[:size]


def speed(rounds: int) -> None:
    """Milliseconds of CPU time per text, all views, no cache."""
    detector = BuiltIn()
    detector.score(["warm up"], "user")
    print("| text | 200 | 2,000 | 20,000 | ms |\n|---|---|---|---|---|")
    for name, template in (("prose", PROSE), ("Markdown and code", CODE), ("not ASCII", UNICODE)):
        times = []
        for size in (200, 2_000, 20_000):
            text, repeat = text_of(template, size), max(2, 40_000 // size)
            least = float("inf")
            for _ in range(rounds):
                began = time.process_time()
                for _ in range(repeat):
                    detector.assess(text, "document")
                least = min(least, (time.process_time() - began) / repeat)
            times.append(f"{least * 1e3:.2f}")
        print(f"| {name} | {' | '.join(times)} | |")
    print(
        "first use:",
        subprocess.run([sys.executable, "-c", FRESH], capture_output=True, text=True, check=True).stdout.strip(),
    )


def spellings(rows: list[dict], count: int) -> None:
    """Recall on attacks in 21 spellings, and what harmless texts in the same encodings are taken for."""
    guard, random = InjectionDetector(), Random(1)
    plain = [
        r["text"]
        for r in rows
        if r["label"] and r.get("kind") not in DOCUMENT_KINDS and r["text"].isascii() and 40 < len(r["text"]) < 250
    ]
    plain = random.sample(plain, min(count, len(plain)))
    calm = [
        r["text"]
        for r in rows
        if not r["label"] and r.get("kind") not in DOCUMENT_KINDS and r["text"].isascii() and 20 < len(r["text"]) < 250
    ]
    calm = random.sample(calm, min(count, len(calm)))

    def flagged(texts: list[str]) -> float:
        return sum(guard.score(text, "user") >= guard.cutoff for text in texts) / max(len(texts), 1)

    print(f"\nplain: recall {flagged(plain):.1%} of {len(plain)}, harmless {flagged(calm):.1%} of {len(calm)}")
    print("| spelling | recall | harmless flagged |\n|---|---|---|")
    base, near, total = flagged(plain), 0, []
    for name, spell in SPELLINGS.items():
        recall = flagged(list(map(spell, plain)))
        near += recall >= base - 0.05
        false = flagged(list(map(spell, calm))) if name in ENCODINGS else None
        total += [] if false is None else [false]
        print(f"| {name} | {recall:.1%} | {'-' if false is None else f'{false:.1%}'} |")
    print(f"within 5 points of plain: {near} of {len(SPELLINGS)}; harmless in encodings: {sum(total) / len(total):.2%}")


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, nargs="*")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--count", type=int, default=150, help="texts per spelling")
    options = parser.parse_args()
    speed(options.rounds)
    if options.data:
        rows = [row for path in options.data for row in read_rows(path)]
        print(evaluate(InjectionDetector(), rows).table())
        spellings(rows, options.count)


if __name__ == "__main__":
    main()
