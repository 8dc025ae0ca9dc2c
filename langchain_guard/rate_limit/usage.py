"""What a call will probably use, and what it did use: tokens and money, from messages, models and their answers."""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING, Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import BaseLanguageModel
from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.messages.utils import count_tokens_approximately
from langchain_core.prompt_values import PromptValue
from langchain_core.runnables import RunnableBinding, RunnableSequence

from langchain_guard.errors import GuardUnavailable
from langchain_guard.identity import ANONYMOUS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from uuid import UUID

    from langchain_core.outputs import LLMResult
    from langchain_core.runnables import RunnableConfig

Price = tuple[float, ...]
"""US dollars per million tokens: of the prompt, of the answer and, if it differs, of cached parts of the prompt."""

_LIMIT_NAMES = ("max_tokens", "max_completion_tokens", "max_output_tokens", "max_tokens_to_sample", "num_predict")
_MODEL_NAMES = ("model_name", "model", "model_id", "deployment_name")
_DATED = re.compile(r"[-@:](?:\d{4}-\d{2}-\d{2}|\d{8}|\d{6}|\d{4}|latest|v\d.*)$")


def count_tokens(value: Any) -> float:
    """Tokens of a prompt, by langchain_core's approximate counter: about four characters each, and some per message."""
    if isinstance(value, PromptValue):
        value = value.to_messages()
    if isinstance(value, str):
        return float(count_tokens_approximately([("user", value)]))
    if isinstance(value, BaseMessage):
        return float(count_tokens_approximately([value]))
    if isinstance(value, (list, tuple)) and all(isinstance(item, (BaseMessage, str, tuple, dict)) for item in value):
        try:
            return float(count_tokens_approximately(list(value)))
        except (TypeError, ValueError, NotImplementedError):  # a list of something else than messages
            pass
    return float(count_tokens_approximately([("user", " ".join(_texts(value)))]))


def _texts(value: Any) -> Iterator[str]:
    """The texts in a plain structure."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, BaseMessage):
        yield str(value.text)
    elif isinstance(value, PromptValue):
        yield value.to_string()
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _texts(item)
    elif isinstance(text := getattr(value, "page_content", None), str):
        yield text


def models_in(runnable: Any) -> list[tuple[Any, Mapping[str, Any]]]:
    """The language models that a Runnable calls for certain, each with the arguments bound to it."""
    if isinstance(runnable, BaseLanguageModel):
        return [(runnable, {})]
    if isinstance(runnable, RunnableBinding):
        return [(model, {**bound, **runnable.kwargs}) for model, bound in models_in(runnable.bound)]
    if isinstance(runnable, RunnableSequence):
        return [found for step in runnable.steps for found in models_in(step)]
    return []


def longest_answer(model: Any, bound: Mapping[str, Any]) -> int | None:
    """The most tokens that a model may answer with, the largest where several settings say so; None if none does."""
    extra = getattr(model, "model_kwargs", None)
    sources = [
        bound,
        extra if isinstance(extra, dict) else {},
        {name: getattr(model, name, None) for name in _LIMIT_NAMES},
    ]
    found = [
        value for source in sources for name in _LIMIT_NAMES if isinstance(value := source.get(name), int) and value > 0
    ]
    return max(found, default=None)


def model_name(model: Any, bound: Mapping[str, Any]) -> str | None:
    """What the model calls itself."""
    for source in (bound, {name: getattr(model, name, None) for name in _MODEL_NAMES}):
        for name in _MODEL_NAMES:
            if isinstance(value := source.get(name), str) and value:
                return value
    return None


class Prices:
    """Dollars for tokens.

    Args:
        table: US dollars per million tokens, by model.
        dearest: Whether a model that is not in the table costs as much as the dearest that is; else it is an error.
    """

    def __init__(self, table: Mapping[str, Price], *, dearest: bool) -> None:
        self.table, self.dearest = table, dearest

    def knows(self, model: str) -> bool:
        """Whether the table has the model, with or without the date in its name."""
        return self._find(model) is not None

    def cost(
        self, model: str | None, prompt: float, answer: float, cached: float = 0.0, *, sure: bool = False
    ) -> float:
        """US dollars for a call; those of the dearest model where the model is not known yet.

        Args:
            model: Its name, with or without a date; None if it is not known.
            prompt: Tokens of the prompt, cached ones included.
            answer: Tokens of the answer.
            cached: Tokens of the prompt that the provider had cached.
            sure: Whether the money is spent already, so that an unknown model must not be an error any more.

        Raises:
            GuardUnavailable: The model is not in the table and unknown models are an error.
        """
        price = self._find(model) if model else None
        if price is None:
            if model and not self.dearest and not sure:
                raise GuardUnavailable(f"the model {model!r} is not in prices=.", rule="prices", cause="KeyError")
            price = tuple(
                max(p[min(i, len(p) - 1)] if i < 2 else _cached(p) for p in self.table.values()) for i in range(3)
            )
        fresh = max(prompt - cached, 0.0)
        return (fresh * price[0] + answer * price[1] + cached * _cached(price)) / 1e6

    def _find(self, model: str) -> Price | None:
        name = model.rsplit("/", 1)[-1]
        for candidate in (model, name, _DATED.sub("", model), _DATED.sub("", name)):
            if candidate in self.table:
                return self.table[candidate]
        return None


def _cached(price: Price) -> float:
    return price[2] if len(price) > 2 else price[0]


class Meter(BaseCallbackHandler):
    """Adds up what every model call inside a wrapped Runnable used; in its callbacks it also marks the call as counted.

    Args:
        owner: What tells limiters apart: one that finds its own meter among the callbacks has counted the call.
        key: Whose call it is.
        prices: For the cost; None if nothing asks for it.
        cached_weight: What a cached token of the prompt counts, 0 to 1.
    """

    run_inline = True
    ignore_chain = ignore_agent = ignore_retriever = ignore_retry = ignore_custom_event = True

    def __init__(self, owner: object, key: str, prices: Prices | None = None, cached_weight: float = 1.0) -> None:
        self.owner, self.key, self.prices, self.cached_weight = owner, key, prices, cached_weight
        self.open = True
        self.prompt = self.answer = self.total = self.cost = 0.0
        self.known = self.unknown = self.pieces = 0
        self._running: dict[UUID, str | None] = {}
        self._lock = threading.Lock()
        self._streamed = 0

    def __deepcopy__(self, memo: dict[int, Any]) -> Meter:
        return self

    # -- told by a wrapped model

    def answered(self, message: Any) -> None:
        """One answer, or one chunk of it."""
        usage = getattr(message, "usage_metadata", None)
        chunk = isinstance(message, AIMessageChunk)
        if chunk:
            self.pieces += bool(message.content)
        if usage and (chunk or not self.known):  # n answers to one prompt repeat its usage, chunks add up to theirs
            self.add(usage, message.response_metadata.get("model_name"))

    # -- told by callbacks

    def on_chat_model_start(self, serialized: Any, messages: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """A model is called."""
        self.on_llm_start(serialized, messages, run_id=run_id, **kwargs)

    def on_llm_start(self, serialized: Any, prompts: Any, *, run_id: UUID, **kwargs: Any) -> None:  # noqa: ARG002
        """A model is called."""
        parameters = kwargs.get("invocation_params") or {}
        name = (
            parameters.get("model")
            or parameters.get("model_name")
            or (kwargs.get("metadata") or {}).get("ls_model_name")
        )
        with self._lock:
            self._running[run_id] = name if isinstance(name, str) else None

    def on_llm_new_token(self, token: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """A piece of an answer."""
        self.pieces += 1

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **kwargs: Any) -> None:  # noqa: ARG002
        """An answer is complete."""
        with self._lock:
            name = self._running.pop(run_id, None)
        found = False
        for candidates in response.generations:
            for candidate in candidates:
                message = getattr(candidate, "message", None)
                if usage := getattr(message, "usage_metadata", None):
                    self.add(usage, getattr(message, "response_metadata", {}).get("model_name") or name)
                    found = True
                    break
        if not found and isinstance(usage := (response.llm_output or {}).get("token_usage"), dict):
            prompt, answer = usage.get("prompt_tokens"), usage.get("completion_tokens")
            if isinstance(prompt, int) and isinstance(answer, int):
                self.add({"input_tokens": prompt, "output_tokens": answer}, name)
                found = True
        if not found:
            self.unknown += 1

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:  # noqa: ARG002
        """A model call failed: what it used is not known."""
        with self._lock:
            self._running.pop(run_id, None)
        self.unknown += 1

    def add(self, usage: Mapping[str, Any], model: str | None) -> None:
        """Add the usage of one call."""
        prompt, answer = float(usage.get("input_tokens") or 0), float(usage.get("output_tokens") or 0)
        cached = float((usage.get("input_token_details") or {}).get("cache_read") or 0)
        cost = self.prices.cost(model, prompt, answer, cached, sure=True) if self.prices else 0.0
        relief = cached * (1.0 - self.cached_weight)
        with self._lock:
            self.known += 1
            self.prompt += prompt - relief
            self.answer += answer
            self.total += max(float(usage.get("total_tokens") or 0), prompt + answer) - relief
            self.cost += cost

    @property
    def running(self) -> int:
        """Model calls that have begun and not ended: a stream that was left never ends."""
        return len(self._running)


def counted(config: RunnableConfig, owner: object, key: str) -> Meter | None:
    """The meter of a call that this one of the caller `key` is part of, if the limiter `owner` has let that in.

    A call inside that does not say who calls is part of it, too; one for somebody else counts for itself.
    """
    callbacks: Any = config.get("callbacks")
    for handler in getattr(callbacks, "handlers", callbacks) or ():
        if isinstance(handler, Meter) and handler.open and handler.owner == owner:
            return handler if key in {handler.key, ANONYMOUS} else None
    return None
