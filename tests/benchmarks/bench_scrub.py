"""What the scrubber finds, costs and holds back: ``python tests/benchmarks/bench_scrub.py [quality|peers|speed|adversarial|partitions]``.

The labelled rows are those of the folder that LANGCHAIN_GUARD_DATA names (``scrub/public.jsonl.gz``: `text`, `spans` as
``[start, end, kind]``, `partial` for rows of which only one secret is labelled). A span is found when the places that were
found cover it wholly, whatever they are called. Negative rows are those without a span that are not partial.

Times are CPU times of this thread on this machine; compare rows of one run.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import statistics
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from langchain_guard import OutputScrubber
from langchain_guard.errors import ConfigError

Finder = Callable[[str], Iterable[tuple[int, int]]]

STRUCTURED = [
    "email",
    "iban",
    "us_ssn",
    "ipv4",
    "ipv6",
    "mac",
    "jwt",
    "url_credentials",
    "connection_string",
    "crypto_wallet",
    "private_key",
    "credit_card",
    "phone",
    "password",
    "secret",
]
NOT_JUDGED = frozenset(
    ["location", "person", "organization", "date", "title", "age", "nrp", "us_driver_license", "url", "national_id"]
)

PROSE = (
    "It is a truth universally acknowledged, that a single man in possession of a good fortune, must be in want of a wife. "
    "However little known the feelings or views of such a man may be on his first entering a neighbourhood, this truth is "
    "so well fixed in the minds of the surrounding families, that he is considered the rightful property of some one or "
    "other of their daughters. In 1813 about 1,500 copies were sold (18 shillings each), and on 28 January it was there. "
)

UNITS = {
    "aaaa": "a", "@@@@": "@", "a.a.": "a.", "a@a@": "a@", "x@a.a.": "x@a.a.", "1111": "1", "1 1 1": "1 ", "[([(": "[(",
    "ab:ab:": "ab:", "www.a/ ": "www.a/ ", "http://a": "http://a", "----": "-", "key=": "key=", "secret=a": "secret=a",
    "BEGIN": "-----BEGIN PRIVATE KEY-----\n", "pwd=": "pwd=", "eyJ.": "eyJaaaaaaaa.", "4111 1111": "4111 1111 ",
}  # fmt: skip


def rows() -> list[dict[str, Any]]:
    """The labelled rows."""
    folder = os.environ.get("LANGCHAIN_GUARD_DATA")
    if folder is None:
        sys.exit("LANGCHAIN_GUARD_DATA must name the folder with scrub/public.jsonl.gz")
    with gzip.open(Path(folder) / "scrub" / "public.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def judged_as(kind: str) -> str:
    """The kind under which a label is counted: every vendor's secret is one kind."""
    if kind != "private_key" and (
        kind.startswith("secret") or kind.endswith(("_key", "_token", "_secret", "_oauth", "_webhook"))
    ):
        return "secret"
    return kind


def measure(find: Finder, data: list[dict[str, Any]]) -> tuple[dict[str, tuple[int, int]], int, int, Counter[str]]:
    """Found and labelled spans per kind, flagged negative rows, negative rows, and finds that touch no label."""
    found: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    flagged = negatives = 0
    extra: Counter[str] = Counter()
    for row in data:
        places = list(find(row["text"]))
        for start, end, kind in row["spans"]:
            count = found[judged_as(kind)]
            count[0] += any(first <= start and end <= last for first, last in places)
            count[1] += 1
        if not row["spans"] and not row.get("partial"):
            negatives += 1
            flagged += bool(places)
        elif not row.get("partial"):
            extra["finds"] += len(places)
            extra["off"] += sum(not any(s < last and first < e for s, e, _ in row["spans"]) for first, last in places)
    return {kind: (hit, size) for kind, (hit, size) in found.items()}, flagged, negatives, extra


def ours(**settings: Any) -> Finder:
    """The scrubber's places."""
    policy = OutputScrubber(**settings)._policy(None)
    return lambda text: [(place.start, place.end) for place in policy.judge(text, "ai").findings]


def quality() -> None:
    """Recall per kind, by shape and with a region, and false alarms."""
    data = rows()
    columns = {"default": ours(), 'region="US"': ours(region="US")}
    table(data, columns)


def precision() -> None:
    """Of the finds of each kind in fully labelled rows, how many touch a label of their own kind."""
    data = [row for row in rows() if not row.get("partial")]
    policy = OutputScrubber()._policy(None)
    right: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for row in data:
        for place in policy.judge(row["text"], "ai").findings:
            total[place.kind] += 1
            right[place.kind] += any(start < place.end and place.start < end for start, end, _ in row["spans"])
    print("finds in fully labelled rows that touch a label")
    for kind, count in sorted(total.items()):
        print(f"{kind:24} {right[kind]:5}/{count:<5} {100 * right[kind] / count:6.1f} %")


def table(data: list[dict[str, Any]], columns: dict[str, Finder]) -> None:
    """Print one column for each finder."""
    results = {}
    for name, find in columns.items():
        begun = time.process_time()
        results[name] = (*measure(find, data), time.process_time() - begun)
    size = sum(len(row["text"].encode()) for row in data) / 1e6
    print(f"{'fully covered, %':20} {'n':>5} " + " ".join(f"{name:>18}" for name in columns))
    for kind in STRUCTURED:
        count = next(iter(results.values()))[0].get(kind, (0, 0))[1]
        cells = [found.get(kind, (0, 0)) for found, *_ in results.values()]
        print(f"{kind:20} {count:5} " + " ".join(f"{100 * hit / max(1, n):18.1f}" for hit, n in cells))
    print(f"{'negatives flagged':26} " + " ".join(f"{f'{flagged}/{n}':>18}" for _, flagged, n, *_ in results.values()))
    off = [f"{extra.get('off', 0)}/{extra.get('finds', 0)}" for _, _, _, extra, _ in results.values()]
    print(f"{'finds off any label':26} " + " ".join(f"{cell:>18}" for cell in off))
    print(f"{'MB/s on these rows':26} " + " ".join(f"{size / seconds:18.2f}" for *_, seconds in results.values()))


def peers(every: int = 1) -> None:
    """The same table beside every peer that is installed, on each `every`-th row (some peers take milliseconds a row)."""
    columns: dict[str, Finder] = {"langchain_guard": ours(), 'region="US"': ours(region="US")}
    for name, make in (
        ("langchain", _langchain),
        ("presidio regex", _presidio),
        ("datafog", _datafog),
        ("detect-secrets", _detect_secrets),
        ("gitleaks rules", _gitleaks),
    ):
        try:
            columns[name] = make()
        except Exception as error:
            print(f"{name}: not measured ({type(error).__name__}: {error})")
    table(rows()[::every], columns)


def _langchain() -> Finder:
    from langchain.agents.middleware._redaction import BUILTIN_DETECTORS

    detectors = [detect for kind, detect in BUILTIN_DETECTORS.items() if kind != "url"]
    return lambda text: [(m["start"], m["end"]) for detect in detectors for m in detect(text)]


def _presidio() -> Finder:
    from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
    from presidio_analyzer.nlp_engine import NlpEngineProvider

    engine = NlpEngineProvider(
        nlp_configuration={"nlp_engine_name": "spacy", "models": [{"lang_code": "en", "model_name": "blank"}]}
    )
    registry = RecognizerRegistry()
    registry.load_predefined_recognizers()
    try:
        analyzer = AnalyzerEngine(registry=registry, nlp_engine=engine.create_engine())
    except Exception:  # without a model, run the pattern recognisers themselves
        patterns = [r for r in registry.recognizers if hasattr(r, "patterns")]
        return lambda text: [
            (x.start, x.end) for r in patterns for x in r.analyze(text, r.supported_entities) or () if x.score >= 0.35
        ]
    return lambda text: [(x.start, x.end) for x in analyzer.analyze(text, language="en", score_threshold=0.35)]


def _datafog() -> Finder:
    from datafog.processing.text_processing.regex_annotator import RegexAnnotator

    annotator = RegexAnnotator()
    return lambda text: [(span.start, span.end) for span in annotator.annotate_with_spans(text)[1].spans]


def _detect_secrets() -> Finder:
    from detect_secrets.core.scan import scan_line
    from detect_secrets.settings import default_settings

    def find(text: str) -> list[tuple[int, int]]:
        places = []
        with default_settings():
            offset = 0
            for line in text.splitlines(keepends=True):
                for secret in scan_line(line):
                    value = secret.secret_value or ""
                    start = line.find(value)
                    if value and start >= 0:
                        places.append((offset + start, offset + start + len(value)))
                offset += len(line)
        return places

    return find


def _gitleaks() -> Finder:
    import re
    import tomllib

    import regex

    path = os.environ.get("GITLEAKS_TOML")
    if path is None:
        raise ConfigError("GITLEAKS_TOML must name gitleaks' config/gitleaks.toml")
    rules = []
    for rule in tomllib.loads(Path(path).read_text("utf-8"))["rules"]:
        if "regex" in rule:
            pattern = re.sub(r"\\z", r"\\Z", rule["regex"].replace("[[:alnum:]]", "[A-Za-z0-9]"))
            keywords = [keyword.lower() for keyword in rule.get("keywords", ())]
            rules.append((regex.compile(pattern, regex.V0), rule.get("secretGroup", 0), keywords))

    def find(text: str) -> list[tuple[int, int]]:
        lower, places = text.lower(), []
        for pattern, group, keywords in rules:
            if not keywords or any(keyword in lower for keyword in keywords):
                places += [m.span(group or (1 if pattern.groups and m.group(1) else 0)) for m in pattern.finditer(text)]
        return places

    return find


def least(work: Callable[[], object], number: int, rounds: int = 5) -> float:
    """The least CPU seconds of one call."""
    best = float("inf")
    for _ in range(rounds):
        begun = time.thread_time()
        for _ in range(number):
            work()
        best = min(best, (time.thread_time() - begun) / number)
    return best


def speed() -> None:
    """Whole texts, chunks of 5 characters, and what is held back on prose."""
    scrubber = OutputScrubber()
    scrubber.scrub(PROSE)
    mail = PROSE[:170] + " write to bob@example.com."
    for name, text in (("200 characters", PROSE[:200]), ("200 characters, one email", mail[:200])):
        print(f"{name:32} {least(lambda text=text: scrubber.scrub(text), 300) * 1e6:8.1f} us")
    prose = (PROSE * 60)[:20_000]
    texts = {"20 kB prose": prose}
    if "LANGCHAIN_GUARD_DATA" in os.environ:
        data = rows()
        texts["20 kB of rows without finds"] = (
            " ".join(r["text"] for r in data if not r["spans"] and "presidio" in r["source"])[:20_000] * 1
        )
        texts["20 kB of labelled rows"] = " ".join(r["text"] for r in data if r["spans"])[:20_000]
    for name, text in texts.items():
        seconds = least(lambda text=text: scrubber.scrub(text), 3)
        print(f"{name:32} {seconds * 1e3:8.2f} ms  {len(text.encode()) / seconds / 1e6:6.1f} MB/s")
    for name, text in texts.items():
        scanner, held, times = scrubber.scanner(), [], []
        for start in range(0, len(text), 5):
            begun = time.thread_time()
            scanner.feed(text[start : start + 5])
            times.append(time.thread_time() - begun)
            held.append(scanner.held)
        held.sort()
        times.sort()
        print(
            f"{name:32} {statistics.mean(times) * 1e6:6.1f} us per 5 characters, worst feed {times[-1] * 1e3:.2f} ms; "
            f"held mean {statistics.mean(held):.1f}, p99 {held[int(0.99 * len(held))]}, max {held[-1]}"
        )


def adversarial(size: int = 1_000_000) -> None:
    """Inputs that make backtracking expressions slow: seconds per megabyte, and the worst feed of a stream."""
    scrubber = OutputScrubber()
    scrubber.scanner()
    scrubber.scrub(" ".join(UNITS.values()) * 3)
    for name, unit in UNITS.items():
        text = (unit * (size // len(unit) + 1))[:size]
        whole = least(lambda text=text: scrubber.scrub(text), 1, 1)
        half = least(lambda text=text: scrubber.scrub(text[: size // 2]), 1, 1)
        scanner, worst, total = scrubber.scanner(), 0.0, 0.0
        for start in range(0, 50_000, 5):
            begun = time.thread_time()
            scanner.feed(text[start : start + 5])
            spent = time.thread_time() - begun
            worst, total = max(worst, spent), total + spent
        print(
            f"{name:10} {whole * 1e6 / size:5.2f} s/MB  x{whole / half:4.1f} for twice the text   {50 / total:6.0f} kchar/s streamed, worst feed {worst * 1e3:5.2f} ms"
        )


def partitions(goal: int = 300_000, seed: int = 1) -> int:
    """Compare streams with the whole text for `goal` partitions of the labelled rows; returns how many differ."""
    rng = random.Random(seed)
    settings: list[dict[str, Any]] = [
        {}, {"region": "US"}, {"kinds": "all", "allow_hosts": ["example.com"]},
        {"actions": {"*": "mask"}, "protect": ["You must never tell anyone about the things that are written in here."]},
    ]  # fmt: skip
    data = [row["text"] for row in rows() if 1 < len(row["text"]) <= 1500]
    scrubbers = [OutputScrubber(**each) for each in settings]
    tried = different = 0
    while tried < goal:
        text, scrubber = rng.choice(data), rng.choice(scrubbers)
        if rng.random() < 0.2:
            text += rng.choice(["", " ", "\n", "\u200b"]) + rng.choice(data)
        whole = scrubber._policy(None).judge(text, "ai")
        cuts = [list(text), [text[i : i + 5] for i in range(0, len(text), 5)]]
        cuts += [[text[:k], text[k:]] for k in rng.sample(range(1, len(text)), min(12, len(text) - 1))]
        for _ in range(6):
            at = sorted(rng.sample(range(1, len(text)), min(len(text) - 1, rng.randint(1, 12))))
            cuts.append([text[a:b] for a, b in zip([0, *at], [*at, len(text)], strict=True)])
        for pieces in cuts:
            scanner, out = scrubber.scanner(), ""
            for piece in pieces:
                out += scanner.feed(piece)
                if not whole.text.startswith(out):
                    break
            out += scanner.close()
            tried += 1
            if out != whole.text or scanner.findings != list(whole.findings):
                different += 1
                print("different:", [len(piece) for piece in pieces][:20], "of a text of", len(text))
    print(f"{tried} partitions, {different} different")
    return different


def main() -> None:
    """Run one part, or all."""
    parts: dict[str, Callable[[], object]] = {
        "quality": quality, "precision": precision, "peers": peers, "speed": speed, "adversarial": adversarial,
        "partitions": partitions,
    }  # fmt: skip
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="?", choices=[*parts, "all"], default="speed")
    parser.add_argument("--goal", type=int, default=300_000, help="partitions to try")
    parser.add_argument("--seed", type=int, default=1, help="seed of the partitions")
    parser.add_argument("--every", type=int, default=1, help="peers see each N-th row only")
    options = parser.parse_args()
    for name, part in parts.items():
        if options.part in {name, "all"}:
            print(f"\n== {name}")
            if name == "partitions":
                partitions(options.goal, options.seed)
            elif name == "peers":
                peers(options.every)
            else:
                part()


if __name__ == "__main__":
    main()
