"""The limiter against its peers in one run: ``python tests/benchmarks/bench_rate_limit.py``.

    pip install limits pyrate-limiter throttled-py     # peers; one that is missing is left out, and said so

CPU time of the calling thread (so the timer threads of limits cost nothing here), every engine in turn within one round,
the least of the rounds. Compare rows of one run, not runs of two machines. Sections: CPU per decision; the most admitted in any window for adversarial
arrivals (clocks patched); a million callers; what ``limiter.wrap`` adds to a call; Redis (server time by
``INFO commandstats``, needs a redis-server binary).
"""

from __future__ import annotations

import argparse
import gc
import importlib.metadata
import importlib.util
import math
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

sys.path.insert(0, str(Path(__file__).parents[1]))

from langchain_core.rate_limiters import InMemoryRateLimiter
from langchain_core.runnables import RunnableLambda

from langchain_guard import Identity, RateLimiter, RedisStore
from langchain_guard.testing import ManualClock, Reply, ScriptedChatModel
from redis_server import RedisServer

if TYPE_CHECKING:
    from collections.abc import Callable

    Hit = Callable[[str], bool]

ALWAYS = ((10**9, 60), (10**9 + 1, 3600), (10**9 + 2, 86400))
RARELY = ((2, 3600), (20, 86400), (100, 604800))
KEYS = [f"user{n}" for n in range(1000)]
MANY = [f"user{n}" for n in range(20_000)]


def versions() -> str:
    """What is compared, and what is missing."""
    names = ("langchain-guard", "langchain-core", "limits", "pyrate-limiter", "throttled-py", "redis")
    found = []
    for name in names:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            found.append(f"{name} not installed: its rows are left out (pip install {name})")
    return f"Python {sys.version.split()[0]}; " + ", ".join(found)


def installed(module: str) -> bool:
    """Whether a peer can be measured."""
    return importlib.util.find_spec(module) is not None


# -- engines: a function from (amount, seconds) pairs to a function from a key to "admitted"


def ours(windows: Any, clock: Callable[[], float] = time.monotonic) -> Hit:
    """`RateLimiter.hit`, whose decision also tells what is left and when to come back."""
    hit = RateLimiter(*(f"{amount}/{seconds} seconds" for amount, seconds in windows), clock=clock).hit
    return lambda key: hit(key).allowed


def of_limits(strategy: str) -> Callable[[Any], Hit]:
    def make(windows: Any) -> Hit:
        import limits

        limiter = getattr(limits.strategies, strategy)(limits.storage.MemoryStorage())
        items = [limits.RateLimitItemPerSecond(amount, seconds) for amount, seconds in windows]
        if len(items) == 1:
            return lambda key: limiter.hit(items[0], key)
        return lambda key: min([limiter.hit(item, key) for item in items])

    return make


def of_pyrate(windows: Any) -> Hit:
    """One bucket per key, which its user has to write."""
    from pyrate_limiter import BucketFactory, InMemoryBucket, Limiter, MonotonicClock, Rate, RateItem

    clock = MonotonicClock()

    class PerKey(BucketFactory):
        def __init__(self) -> None:
            self.buckets: dict[str, Any] = {}

        def wrap_item(self, name: str, weight: int = 1) -> Any:
            return RateItem(name, clock.now(), weight=weight)

        def get(self, item: Any) -> Any:
            bucket = self.buckets.get(item.name)
            if bucket is None:
                rates = [Rate(amount, seconds * 1000) for amount, seconds in windows]
                bucket = self.buckets[item.name] = InMemoryBucket(rates)
            return bucket

    limiter = Limiter(PerKey())
    return lambda key: bool(limiter.try_acquire(key, blocking=False))


def of_throttled(using: str) -> Callable[[Any], Hit]:
    def make(windows: Any) -> Hit:
        import datetime as dt

        import throttled

        store = throttled.MemoryStore(options={"MAX_SIZE": 10**7})
        every = []
        for amount, seconds in windows:
            quota = throttled.rate_limiter.per_duration(dt.timedelta(seconds=seconds), amount, burst=amount)
            every.append(throttled.Throttled(using=using, quota=quota, store=store, key_prefix=str(seconds)))
        if len(every) == 1:
            return lambda key: not every[0].limit(key).limited
        return lambda key: min([not one.limit(key).limited for one in every])

    return make


def of_langchain(windows: Any) -> Hit:
    """A dict of token buckets, one per key, since LangChain's limiter knows no keys; its first window only."""
    ((amount, seconds), *_) = windows
    known: dict[str, InMemoryRateLimiter] = {}

    def hit(key: str) -> bool:
        bucket = known.get(key)
        if bucket is None:
            bucket = known[key] = InMemoryRateLimiter(requests_per_second=amount / seconds, max_bucket_size=amount)
        return bucket.acquire(blocking=False)

    return hit


def engines() -> dict[str, Callable[[Any], Hit]]:
    """Those that can be measured here."""
    found: dict[str, Callable[[Any], Hit]] = {"langchain_guard": ours}
    if installed("limits"):
        found["limits fixed window"] = of_limits("FixedWindowRateLimiter")
        found["limits moving window"] = of_limits("MovingWindowRateLimiter")
        found["limits sliding counter"] = of_limits("SlidingWindowCounterRateLimiter")
    if installed("pyrate_limiter"):
        found["pyrate-limiter log"] = of_pyrate
    if installed("throttled"):
        found["throttled-py sliding"] = of_throttled("sliding_window")
        found["throttled-py gcra"] = of_throttled("gcra")
    found["InMemoryRateLimiter, 1 window"] = of_langchain
    return found


# -- sections


def least(variants: dict[str, Callable[[], object]], rounds: int, number: int) -> dict[str, float]:
    """The least CPU microseconds of one call of each variant, measured in turn."""
    best = dict.fromkeys(variants, math.inf)
    for variant in variants.values():
        variant()
    for _ in range(rounds):
        for name, variant in variants.items():
            gc.collect()
            gc.disable()
            begin = time.thread_time()
            for _ in range(number):
                variant()
            best[name] = min(best[name], (time.thread_time() - begin) / number * 1e6)
            gc.enable()
    return best


def cpu(rounds: int, number: int) -> None:
    """CPU per decision."""
    print("\n## CPU per decision, in memory, 1000 callers in turn (us); far between: 20,000 callers, 1 window of 1 s\n")
    print("| engine | 1 window | 3 windows | refused | 3 windows, refused | far between |\n|---|---|---|---|---|---|")
    columns = {}
    cases = {
        "one": (ALWAYS[:1], KEYS),
        "three": (ALWAYS, KEYS),
        "refused": (RARELY[:1], KEYS),
        "three refused": (RARELY, KEYS),
        "far between": (((10**9, 1),), MANY),
    }
    for title, (windows, keys) in cases.items():
        variants = {}
        for name, make in engines().items():
            hit = make(windows)

            def turn(hit: Hit = hit, keys: list[str] = keys) -> None:
                for key in keys:
                    hit(key)

            variants[name] = turn
        variants["loop"] = lambda keys=keys: [None for _ in keys]
        best = least(variants, rounds, max(1, number * len(KEYS) // len(keys)))
        columns[title] = {name: (each - best["loop"]) / len(keys) for name, each in best.items()}
    for name in columns["one"]:
        if name != "loop":
            print(f"| {name} | " + " | ".join(f"{columns[title][name]:.2f}" for title in columns) + " |")


def worst_window(rounds: int) -> None:
    """The most that is admitted in any 60 s of adversarial arrivals, limit 100."""
    print("\n## The most admitted in any 60 s, limit 100/minute (clocks patched; 100 is right)\n")
    print("| engine | arrivals that gain most | most in any 60 s |\n|---|---|---|")
    arrivals = {
        "a burst at the end of a minute and one at the start of the next": [59.9] * 150 + [60.1] * 150 + [119.9] * 150,
        "idle, a burst, then a call every 0.1 s": [300.0] * 150 + [300 + n / 10 for n in range(1, 900)],
        "a burst every half minute": [30.0 * n for n in range(1, 12) for _ in range(120)],
    }
    for seed in range(rounds):
        rng, at, times = random.Random(seed), 0.0, []
        for _ in range(2000):
            at += rng.expovariate(4)
            times.append(at)
        arrivals[f"at random ({seed})"] = times
    for name, make in engines().items():
        most, by = 0, ""
        for title, times in arrivals.items():
            admitted = admitted_at(name, make, times)
            found = max((sum(end - 60 < t <= end for t in admitted) for end in admitted), default=0)
            if found > most:
                most, by = found, title
        print(f"| {name} | {by} | {most} |")


def admitted_at(name: str, make: Callable[[Any], Hit], times: list[float]) -> list[float]:
    """When calls were admitted, by a clock that shows what it is told (from 1,000,000 on, a round minute)."""
    clock = ManualClock(999_960.0 + 600)
    start = clock()
    nanoseconds = lambda: int(clock() * 1e9)  # noqa: E731
    patches = [mock.patch(f"time.{which}", clock) for which in ("time", "monotonic")]
    patches += [mock.patch(f"time.{which}_ns", nanoseconds) for which in ("time", "monotonic")]
    for patch in patches:
        patch.start()
    try:
        hit = ours(((100, 60),), clock) if name == "langchain_guard" else make(((100, 60),))
        hit("warm")
        admitted = []
        for at in times:
            clock.advance(start + at - clock())
            if hit("u1"):
                admitted.append(at)
        return admitted
    finally:
        for patch in reversed(patches):
            patch.stop()


def million(keys: int) -> None:
    """Memory and pauses with many callers; each engine in a process of its own."""
    print(f"\n## {keys:,} callers, each in a process of its own\n")
    print(
        "| engine | bytes per caller | longest call while they come (CPU) | CPU per new caller (us) |\n|---|---|---|---|"
    )
    for name in engines():
        command = [sys.executable, __file__, "--fill", name, "--keys", str(keys)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=3600, check=False)
        print(done.stdout.strip() or f"| {name} | failed | | |")


def fill(name: str, keys: int, seconds: float = 45.0) -> None:
    """One row of `million`, without Python's garbage collector, whose pauses are its own; slow engines are cut short."""
    windows = ((5, 3600),)
    hit = engines()[name](windows)
    names = [f"user{n:07d}" for n in range(keys)]
    for key in ("a", "b", "c"):
        hit(key)
    gc.collect()
    gc.disable()
    before, begin, worst, done = resident(), time.process_time(), 0.0, 0
    end = time.monotonic() + seconds
    for done, key in enumerate(names, 1):
        start = time.thread_time()
        hit(key)
        worst = max(worst, time.thread_time() - start)
        if done % 4096 == 0 and time.monotonic() > end:
            break
    used = time.process_time() - begin
    part = "" if done == keys else f" ({done:,} in {seconds:.0f} s)"
    print(f"| {name}{part} | {(resident() - before) / done:.0f} | {worst * 1e3:.0f} ms | {used / done * 1e6:.1f} |")


def resident() -> int:
    """Bytes of this process in memory."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096


def overhead(rounds: int, number: int) -> None:
    """What the limiter adds to one call."""
    me = Identity(user="u1").config()
    model, function = ScriptedChatModel(Reply("hi")), RunnableLambda(lambda x: x)
    requests = RateLimiter("1000000000/minute")
    settling = RateLimiter("1000000000/minute", "100000M tokens/day", "100 concurrent")
    runnables = {
        "chat model": model,
        "chat model, requests": requests.wrap(model),
        "chat model, requests + tokens + concurrent": settling.wrap(model),
        "function": function,
        "function, requests": requests.wrap(function),
        "function, requests + tokens + concurrent": settling.wrap(function),
        "nothing, as a link": requests,
    }
    best = least({name: (lambda r=r: r.invoke("hi", me)) for name, r in runnables.items()}, rounds, number)
    print("\n## What limiter.wrap adds to an invoke (us CPU)\n\n| around | total | added |\n|---|---|---|")
    for name, total in best.items():
        bare = best.get(name.split(",")[0], 0.0)
        print(f"| {name} | {total:.0f} | {total - bare:.0f} |")


def redis(number: int) -> None:
    """Round trips and server time per decision, on a server of this run."""
    print("\n## Redis, one server on loopback\n")
    if shutil.which("redis-server") is None:
        print("no redis-server on this machine: section left out")
        return
    server = RedisServer().start()
    try:
        print("| engine | round trips | server time, us | client CPU, us |\n|---|---|---|---|")
        rows: list[tuple[str, Callable[[str], Any]]] = []
        for title, specs, costs in (
            ("langchain_guard, 1 window", ["1000000000/minute"], {}),
            ("langchain_guard, 3 windows", [f"1000000000/{unit}" for unit in ("minute", "hour", "day")], {}),
            ("langchain_guard, 1 token", ["1000M tokens/minute"], {"tokens": 1}),
            ("langchain_guard, 100,000 tokens", ["1000M tokens/minute"], {"tokens": 100_000}),
            ("langchain_guard, refused by the server", ["1/hour"], {}),
        ):
            store = RedisStore(server.url, timeout=5.0)
            store.refusals.longest = 0.0
            limiter = RateLimiter(*specs, store=store)
            rows.append((title, lambda key, limiter=limiter, costs=costs: limiter.hit(key, **costs)))
        cached = RateLimiter("1/hour", store=RedisStore(server.url, timeout=5.0, namespace="cached"))
        cached.store.refusals.longest = 3600.0
        rows.append(("langchain_guard, refused from memory", cached.hit))
        if installed("limits"):
            import limits

            storage = limits.storage.RedisStorage(server.url)
            for strategy in ("MovingWindowRateLimiter", "SlidingWindowCounterRateLimiter"):
                limiter = getattr(limits.strategies, strategy)(storage)
                items = [limits.RateLimitItemPerSecond(10**6, seconds) for seconds in (60, 3600, 86400)]
                short = strategy.removesuffix("RateLimiter")
                rows.append(
                    (f"limits {short}, 1 window", lambda key, strategy=limiter, i=items: strategy.hit(i[0], key))
                )
                rows.append(
                    (
                        f"limits {short}, 3 windows",
                        lambda key, strategy=limiter, i=items: min([strategy.hit(x, key) for x in i]),
                    )
                )
        for title, hit in rows:
            server.command("FLUSHALL")
            keys = [f"{title}{n}" for n in range(100)]
            for key in keys * 2:
                hit(key)
            best, trips, client = math.inf, 0.0, math.inf
            for _ in range(5):
                server.command("CONFIG", "RESETSTAT")
                begin = time.process_time()
                for n in range(number):
                    hit(keys[n % 100])
                client = min(client, (time.process_time() - begin) / number * 1e6)
                calls, micros = commands(server)
                best, trips = min(best, micros / number), calls / number
            print(f"| {title} | {trips:.0f} | {best:.1f} | {client:.0f} |")
    finally:
        server.close()


def commands(server: RedisServer) -> tuple[int, float]:
    """How many commands clients sent since the last reset, and the server's microseconds for them."""
    calls, micros = 0, 0.0
    for line in server.command("INFO", "commandstats").decode().splitlines():
        if line.startswith("cmdstat_eval"):
            fields = dict(part.split("=") for part in line.partition(":")[2].split(","))
            calls += int(fields["calls"])
            micros += float(fields["usec"])
    return calls, micros


def main() -> None:
    """All sections, as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--number", type=int, default=10)
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--only", choices=["cpu", "window", "million", "overhead", "redis"])
    parser.add_argument("--fill", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.fill:
        fill(chosen.fill, chosen.keys)
        return
    print(versions())
    sections: dict[str, Callable[[], None]] = {
        "cpu": lambda: cpu(chosen.rounds, chosen.number * 4),
        "window": lambda: worst_window(chosen.rounds),
        "million": lambda: million(chosen.keys),
        "overhead": lambda: overhead(chosen.rounds, chosen.number * 20),
        "redis": lambda: redis(chosen.number * 500),
    }
    for name, section in sections.items():
        if chosen.only in {None, name}:
            section()


if __name__ == "__main__":
    main()
