"""`OutputScrubber`: the guard that keeps secrets and personal data in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic import Field, PrivateAttr, SecretStr, field_validator

from langchain_guard.errors import ConfigError, OutputBlocked
from langchain_guard.scrub.canary import Canary
from langchain_guard.scrub.links import searches
from langchain_guard.scrub.policy import (
    OTHER_KINDS,
    GatheringScanner,
    ScrubAction,
    ScrubPolicy,
    ScrubRule,
    plan,
    verdict_action,
)
from langchain_guard.scrub.protect import PhraseFinder
from langchain_guard.scrub.vault import Vault, scope_of
from langchain_guard.text import TextGuard
from langchain_guard.verdict import Verdict

if TYPE_CHECKING:
    from langchain_guard.run import Call
    from langchain_guard.scrub.policy import Plan
    from langchain_guard.streaming import Finder, Scanner


class OutputScrubber(TextGuard):
    r"""Finds secrets and personal data in what runs through it, and removes them; exact while the text streams.

    Around a model, ``scrubber.wrap(model)``, a kind whose action is "block" does not go in either.

    Streamed output is ``scrub(whole text)`` for every way of cutting the text into chunks, and nothing of a found value
    leaves. Text is held back only where it could still become a match.

    Args:
        kinds: What to look for: "default", "secrets", "pii", "all", a kind such as "email", or a list of these.
        actions: What to do with a kind, with "secrets" or "pii", or with everything else ("*"): "redact" (``[EMAIL]``),
            "mask" (the last four digits of cards and phone numbers, nothing of anything else), "hash" (a keyed pseudonym,
            needs `key`), "vault" (a placeholder that `vault` restores), "block" (raise OutputBlocked), or "allow".
        rules: The application's own patterns.
        region: ISO country code; national forms of its phone numbers are found too (extra ``pii``).
        key: Key of the HMAC for "hash".
        vault: Where "vault" keeps the values; by default one of its own.
        recognizers: Functions from a text to places ``(start, end, kind)``, such as a named-entity recogniser. With any, a
            stream is judged when it has ended.
        protect: Texts that must not be repeated, such as the system prompt: runs of 8 words or more are removed.
        canary: A `Canary` whose planted tokens are found.
        allow_hosts: Hosts that links may lead to (each with its subdomains). If given, other links, active HTML and
            terminal escape sequences are removed; None looks for none of these.

    Raises:
        ConfigError: An argument is unknown or cannot be worked with.

    Example:
        >>> from langchain_guard import OutputScrubber
        >>> OutputScrubber(actions={"credit_card": "mask"}).scrub("Card 4111 1111 1111 1111, mail bob@example.com")
        'Card **** **** **** 1111, mail [EMAIL]'
    """

    kinds: str | tuple[str, ...] = "default"
    actions: dict[str, ScrubAction] = Field(default_factory=dict)
    rules: tuple[ScrubRule, ...] = ()
    region: str | None = None
    key: SecretStr | None = None
    recognizers: tuple[Callable[[str], Any], ...] = Field(default=(), json_schema_extra={"callable": True})
    protect: tuple[str, ...] = Field(default=(), repr=False)
    canary: Any = Field(default=None, repr=False)
    allow_hosts: tuple[str, ...] | None = None
    vault: Any = Field(default=None, exclude=True, repr=False)

    _policy_parts: Any = PrivateAttr(default=None)

    @field_validator("rules", mode="before")
    @classmethod
    def _rules(cls, value: Any) -> Any:
        if isinstance(value, (str, Mapping, ScrubRule)) or not isinstance(value, Sequence):
            raise ValueError("must be a list of ScrubRules")  # noqa: TRY004  # pydantic reads ValueErrors only
        return tuple(ScrubRule(**rule) if isinstance(rule, Mapping) else rule for rule in value)

    @field_validator("protect", "allow_hosts", "recognizers", mode="before")
    @classmethod
    def _lists(cls, value: Any) -> Any:
        if isinstance(value, str) or callable(value):
            raise ValueError("must be a list")  # noqa: TRY004
        return value

    @field_validator("vault")
    @classmethod
    def _is_vault(cls, value: Any) -> Any:
        if value is not None and not isinstance(value, Vault):
            raise ValueError("must be a Vault")
        return value

    @field_validator("canary")
    @classmethod
    def _is_canary(cls, value: Any) -> Any:
        if value is not None and not isinstance(value, Canary):
            raise ValueError("must be a Canary")
        return value

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        # not a validator: pydantic's error would show all arguments, and one of them is a key
        if self.key is not None and not self.key.get_secret_value():
            raise ConfigError("OutputScrubber(key='') is empty, which would leave the pseudonyms of \"hash\" unkeyed")
        if "hash" in self.actions.values() and self.key is None:
            raise ConfigError(f"actions={self.actions!r} with 'hash' need key=..., the key of the HMAC")
        if "vault" in self.actions.values() and self.vault is None:
            object.__setattr__(self, "vault", Vault())
        ScrubPolicy(self._parts()[0]).scanner("ai")  # compiles the patterns: the first answer must not wait for that

    def _parts(self) -> tuple[Plan, tuple[Finder, ...], Plan]:
        """What is looked for: made once, and again after a copy that dropped it."""
        if self._policy_parts is None:
            extra = [*(searches(self.allow_hosts) if self.allow_hosts is not None else ())]
            extra += self.canary.searches("redact") if self.canary is not None else ()
            known = self.actions if self.recognizers else ()
            made = plan(self.kinds, self.actions, self.rules, self.region, extra, known)
            finders: tuple[Finder, ...] = ()
            if self.protect and made.actions["protected_text"] != "allow":
                finders = (PhraseFinder(self.protect, verdict_action(made.actions["protected_text"])),)
            blocking = tuple(s for s in made.searches if s.action == "block" and s.kind not in OTHER_KINDS)
            self._policy_parts = made, finders, replace(made, searches=blocking)
        parts: tuple[Plan, tuple[Finder, ...], Plan] = self._policy_parts
        return parts

    def _policy(self, call: Call | None) -> ScrubPolicy:
        made, finders, _ = self._parts()
        return ScrubPolicy(
            made,
            finders=finders,
            recognizers=self.recognizers,
            key=self.key.get_secret_value().encode() if self.key is not None else b"",
            vault=self.vault,
            scope=scope_of(call.config) if call is not None else "",
        )

    def _entry_policy(self, call: Call) -> ScrubPolicy | None:  # noqa: ARG002
        """What is blocked in an answer does not go in either; prompts may hold what must not be repeated, and links."""
        entry = self._parts()[2]
        return ScrubPolicy(entry) if entry.searches else None

    def _refusal(self, verdict: Verdict) -> OutputBlocked:
        kinds = ", ".join(sorted({finding.kind for finding in verdict.findings})) or "a forbidden value"
        return OutputBlocked(
            f"{verdict.guard} blocked a text that holds {kinds}.",
            verdict=verdict,
            advice="Ask for an answer without it; the action 'redact' lets the rest of a text through.",
        )

    def scrub(self, text: str) -> str:
        """The text without what was found in it: the same object if that is nothing.

        Raises:
            OutputBlocked: It holds something whose action is "block".
        """
        judged = self._policy(None).judge(text, "ai")
        if judged.action == "block":
            raise self._refusal(Verdict(self.get_name(), "block", judged.findings))
        return judged.text

    def scanner(self) -> Scanner:
        """A scanner for one text that arrives in pieces: ``feed(str) -> str``, then ``close() -> str``.

        It does not raise: after a find whose action is "block" its ``action`` says so and nothing more leaves.
        """
        policy = self._policy(None)
        scanner = policy.scanner("ai")
        return scanner if scanner is not None else GatheringScanner(lambda text: policy.judge(text, "ai"))

    # -- dumps and copies

    @property
    def lc_secrets(self) -> dict[str, str]:
        """Dumped as a reference to an environment variable, never as it is."""
        return {"key": "LANGCHAIN_GUARD_KEY"} if self.key is not None else {}

    def to_json(self) -> Any:
        """As `Guard`'s: rules as plain data; a check or a canary cannot be dumped."""
        dumped: Any = super().to_json()
        kwargs = dumped.get("kwargs", {})
        held = set(kwargs.pop("holds_callables", ()))
        if "rules" in kwargs:
            kwargs["rules"] = [
                {"name": rule.name, "pattern": rule.pattern, "longest": rule.longest} for rule in self.rules
            ]
            held |= {"rules"} if any(rule.check is not None for rule in self.rules) else set()
        if kwargs.pop("canary", None) is not None:
            held.add("canary")
        if held:
            kwargs["holds_callables"] = sorted(held)
        return dumped

    def __getstate__(self) -> dict[Any, Any]:
        """A pickle holds settings: the vault's values stay here."""
        state = super().__getstate__()
        return {
            **state,
            "__dict__": {**state["__dict__"], "vault": None},
            "__pydantic_private__": {**(state["__pydantic_private__"] or {}), "_policy_parts": None},
        }

    def __setstate__(self, state: dict[Any, Any]) -> None:
        super().__setstate__(state)
        if "vault" in self.actions.values():
            object.__setattr__(self, "vault", Vault())
