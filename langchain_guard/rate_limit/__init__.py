"""Rate limits: requests, tokens, money and running calls, exact, on one machine and on many."""

from langchain_guard.rate_limit.decision import Decision
from langchain_guard.rate_limit.guard import RateLimiter
from langchain_guard.rate_limit.limits import Limit
from langchain_guard.rate_limit.penalty import Penalty
from langchain_guard.rate_limit.redis import RedisStore
from langchain_guard.rate_limit.retry import wait_retry_after
from langchain_guard.rate_limit.store import MemoryStore

__all__ = ["Decision", "Limit", "MemoryStore", "Penalty", "RateLimiter", "RedisStore", "wait_retry_after"]
