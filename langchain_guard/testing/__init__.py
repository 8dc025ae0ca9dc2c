"""Parts for testing an application that uses these guards: offline, without keys, without waiting.

* `ManualClock`: time that moves only when told, for ``RateLimiter(clock=...)``.
* `ScriptedChatModel`: a chat model that says what it is told, in chunks cut where it is told, and counts.
* `ScriptedServer`: the same script over real HTTP, in the protocols of OpenAI's chat completions and Responses.
* `assert_chunking_invariant`: a streamed text is judged the same however it is cut.

Nothing in the package imports this module.
"""

from langchain_guard.testing.chunking import assert_chunking_invariant
from langchain_guard.testing.clock import ManualClock
from langchain_guard.testing.model import ScriptedChatModel
from langchain_guard.testing.script import Call, Reply
from langchain_guard.testing.server import Exchange, Request, ScriptedServer

__all__ = [
    "Call",
    "Exchange",
    "ManualClock",
    "Reply",
    "Request",
    "ScriptedChatModel",
    "ScriptedServer",
    "assert_chunking_invariant",
]
