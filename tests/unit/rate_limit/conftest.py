"""A real redis-server for the tests of this folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from langchain_guard import RedisStore
from redis_server import RedisServer

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A server of this test's own, since tests stop and kill it."""
    running = RedisServer().start()
    yield running
    running.close()


@pytest.fixture
def store(server: RedisServer) -> Iterator[RedisStore]:
    """A store on it, which asks again at once after a failure."""
    made = RedisStore(server.url)
    made.breaker.interval = 0.0
    yield made
    made.close()
