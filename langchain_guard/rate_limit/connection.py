"""How a `RedisStore` reaches its server: never longer than the time-out, and not at all while the server is away.

This module imports nothing of LangChain, and redis at the first call.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
import weakref
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from langchain_guard.errors import ConfigError
from langchain_guard.rate_limit.breaker import Away, Breaker

if TYPE_CHECKING:
    from collections.abc import Generator

    from pydantic import SecretStr

    from langchain_guard.rate_limit.scripts import Command

logger = logging.getLogger("langchain_guard")

T = TypeVar("T")

_AT_A_TIME = 16
"""Most calls of one event loop that are under way at a time; the others wait for a free connection."""


class _Loop(NamedTuple):
    """What belongs to one event loop."""

    client: Any
    turns: asyncio.Semaphore


class Connection:
    """The clients of one store, for threads and for every event loop, behind one circuit breaker.

    Work comes as a generator of commands, which is sent each reply, or thrown `Away`: so what is said to the server is
    written once, for threads and coroutines alike.
    """

    def __init__(self, url: SecretStr, timeout: float, *, cluster: bool) -> None:
        self.url, self.timeout, self.cluster = url, timeout, cluster
        self.breaker = Breaker()
        self._client: Any = None
        self._loops: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Loop] = weakref.WeakKeyDictionary()
        self._complained = -math.inf

    def close(self) -> None:
        """Close the connections of synchronous calls."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    async def aclose(self) -> None:
        """Close the connections of this event loop."""
        known = self._loops.pop(asyncio.get_running_loop(), None)
        if known is not None:
            await known.client.aclose()

    def run(self, steps: Generator[Command, Any, T]) -> T:
        """Send what `steps` yields; what it returns."""
        try:
            command = next(steps)
            while True:
                try:
                    reply = self._send(command)
                except Away as away:
                    command = steps.throw(away)
                else:
                    command = steps.send(reply)
        except StopIteration as done:
            result: T = done.value
            return result

    async def arun(self, steps: Generator[Command, Any, T]) -> T:
        """As `run`."""
        try:
            command = next(steps)
            while True:
                try:
                    reply = await self._asend(command)
                except Away as away:
                    command = steps.throw(away)
                else:
                    command = steps.send(reply)
        except StopIteration as done:
            result: T = done.value
            return result

    def _send(self, command: Command) -> Any:
        self.breaker.enter()
        redis = _package()
        try:
            client = self._client
            if client is None:
                client = self._client = self._connect(redis, redis)
            if command.script is None:
                reply = client.execute_command(*command.args)
            else:
                try:
                    reply = client.evalsha(command.script.digest, len(command.keys), *command.keys, *command.args)
                except redis.exceptions.NoScriptError:  # a restart, or the first call
                    reply = client.eval(command.script.source, len(command.keys), *command.keys, *command.args)
        except (redis.exceptions.RedisError, OSError) as error:
            raise self._away(error) from None
        self.breaker.answered()
        return reply

    async def _asend(self, command: Command) -> Any:
        redis = _package()
        loop = asyncio.get_running_loop()
        if loop not in self._loops:
            for other in [other for other in self._loops if other.is_closed()]:
                del self._loops[other]
            self._loops[loop] = _Loop(self._connect(redis, redis.asyncio), asyncio.Semaphore(_AT_A_TIME))
        client, turns = self._loops[loop]
        async with turns:  # whoever waited here while the server stopped answering hears it from the breaker
            return await self._asent(redis, client, command)

    async def _asent(self, redis: Any, client: Any, command: Command) -> Any:
        self.breaker.enter()
        try:
            if command.script is None:
                reply = await client.execute_command(*command.args)
            else:
                try:
                    reply = await client.evalsha(command.script.digest, len(command.keys), *command.keys, *command.args)
                except redis.exceptions.NoScriptError:
                    reply = await client.eval(command.script.source, len(command.keys), *command.keys, *command.args)
        except (TimeoutError, redis.exceptions.RedisError, OSError) as error:
            raise self._away(error) from None
        self.breaker.answered()
        return reply

    def _connect(self, redis: Any, flavour: Any) -> Any:
        """A client that gives up when it should: the defaults of redis-py wait for ever, or try again and again."""
        retries = flavour.retry if flavour is redis.asyncio else redis.retry
        settings: dict[str, Any] = {
            "socket_timeout": self.timeout,
            "socket_connect_timeout": self.timeout,
            "retry": retries.Retry(redis.backoff.NoBackoff(), 0),
            "protocol": 2,
            "max_connections": 2**31 - 1,  # redis-py raises beyond; threads and `_AT_A_TIME` bound it
        }
        kind = flavour.cluster.RedisCluster if self.cluster else flavour.Redis
        try:
            return kind.from_url(self.url.get_secret_value(), **settings)
        except ValueError as error:
            wrong = type(error).__name__
        raise ConfigError(f"RedisStore(url=...): redis cannot read it ({wrong})")  # its own text may quote a password

    def _away(self, error: BaseException) -> Away:
        self.breaker.failed()
        now = time.monotonic()
        if now - self._complained > 60:
            self._complained = now
            logger.warning("the Redis store is away (%s); decisions are marked until it is back", type(error).__name__)
        return Away()


def _package() -> Any:
    """The package redis, at the first use."""
    import redis  # noqa: PLC0415
    import redis.asyncio  # noqa: PLC0415
    import redis.asyncio.cluster  # noqa: PLC0415
    import redis.asyncio.retry  # noqa: PLC0415
    import redis.backoff  # noqa: PLC0415
    import redis.cluster  # noqa: PLC0415
    import redis.retry  # noqa: PLC0415

    return redis
