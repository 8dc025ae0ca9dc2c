"""Guards that tests use to watch what the shell does with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import PrivateAttr
from small_guards import Redact

from langchain_guard.errors import Refused
from langchain_guard.runnable import ChunkFilter, Guard, Session
from langchain_guard.verdict import Verdict

if TYPE_CHECKING:
    from langchain_guard.run import Call


class _Watched(Session):
    def __init__(self, value: Any, log: list[str]) -> None:
        super().__init__(value)
        self.log = log

    def whole(self, output: Any) -> Any:
        self.log.append("whole")
        return output

    def filter(self) -> ChunkFilter:
        self.log.append("filter")
        return super().filter()

    def answered(self, message: Any) -> None:
        self.log.append("answered")

    def close(self, error: BaseException | None) -> None:
        self.log.append(f"close {type(error).__name__}")


class Watch(Guard):
    """Writes down what happens to its sessions, and refuses an input with "BAD" in it."""

    _log: list[str] = PrivateAttr(default_factory=list)

    @property
    def log(self) -> list[str]:
        return self._log

    def _open(self, value: Any, call: Call) -> Session:
        self.log.append("open")
        if "BAD" in str(value):
            raise Refused("no", verdict=Verdict(self.get_name(), "block"))
        return _Watched(value, self.log)

    async def _aopen(self, value: Any, call: Call) -> Session:
        return self._open(value, call)


class Asks(Redact):
    """Writes down who is calling."""

    _callers: list[str] = PrivateAttr(default_factory=list)

    @property
    def callers(self) -> list[str]:
        return self._callers

    def _open(self, value: Any, call: Call) -> Session:
        self._callers.append(call.identity.id)
        return super()._open(value, call)

    async def _aopen(self, value: Any, call: Call) -> Session:
        return self._open(value, call)
