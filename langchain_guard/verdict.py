"""What a policy says: findings and verdicts.

Neither ever holds the text that was found: a finding is a place (code points, end exclusive) and a rule. This module
imports nothing of LangChain.
"""

from __future__ import annotations

import html
import itertools
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Action = Literal["allow", "flag", "redact", "block"]
"""What is done with a value: handed on, handed on and reported, handed on changed, refused."""

_SEVERITY: dict[str, int] = {"allow": 0, "flag": 1, "redact": 2, "block": 3}


@dataclass(frozen=True, slots=True)
class Finding:
    """One place that a rule objected to.

    Attributes:
        rule: Identifier of the rule, such as ``"github_token"``.
        kind: The kind of thing found, such as ``"email"`` or ``"injection"``.
        start: First code point of the place, counted in the text at `where`.
        end: Code point after its last one.
        score: How sure the rule is, 0 to 1.
        where: Path of the text inside the value, such as ``messages[2].tool_calls[0].args.to``; "" for a plain str.
    """

    rule: str
    kind: str
    start: int = 0
    end: int = 0
    score: float = 1.0
    where: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The judgement of one guard on one value, call or caller.

    Attributes:
        guard: Name of the guard.
        action: What the guard does with the value.
        findings: Every place that a rule objected to.
        score: Risk from 0 to 1 for a detector, None for every other guard.
        details: More facts, JSON-able and without texts: ``retry_after``, ``key`` (hashed), ``source`` and so on.
    """

    guard: str
    action: Action = "allow"
    findings: tuple[Finding, ...] = ()
    score: float | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def blocked(self) -> bool:
        """Whether the value is refused."""
        return self.action == "block"

    def __bool__(self) -> NoReturn:
        raise TypeError("a Verdict has no truth value: ask verdict.blocked or verdict.action")

    def __hash__(self) -> int:
        return hash((self.guard, self.action, self.findings, self.score))

    def records(self) -> list[dict[str, Any]]:
        """Rows for ``pandas.DataFrame``: one per finding, or a single row when there is none."""
        base = {"guard": self.guard, "action": self.action, "verdict_score": self.score}
        places: Iterable[Finding | None] = self.findings or (None,)
        names = [f.name for f in fields(Finding)]
        return [{**base, **{name: getattr(place, name, None) for name in names}} for place in places]

    def payload(self) -> dict[str, Any]:
        """The fields as plain data, as events carry them."""
        return {
            "guard": self.guard,
            "action": self.action,
            "score": self.score,
            "findings": [{f.name: getattr(place, f.name) for f in fields(Finding)} for place in self.findings],
            "details": dict(self.details),
        }

    def highlight(self, text: str, where: str = "") -> str:
        """HTML of `text` with every finding at `where` marked; the text is the caller's and is not kept.

        Where findings overlap, the text is cut at each of their ends, and the title of each piece names every rule that
        covers it.

        Args:
            text: The judged text; each of its characters is escaped.
            where: Path of the text inside the judged value; "" for a plain str.
        """
        marks = [(max(f.start, 0), min(f.end, len(text)), f.rule) for f in self.findings if f.where == where]
        marks = [(start, end, rule) for start, end, rule in marks if start < end]
        cuts = sorted({0, len(text), *(cut for start, end, _ in marks for cut in (start, end))})
        out = []
        for begin, stop in itertools.pairwise(cuts):
            piece = html.escape(text[begin:stop])
            rules = sorted({rule for start, end, rule in marks if start <= begin and stop <= end})
            out.append(f'<mark title="{html.escape(", ".join(rules))}">{piece}</mark>' if rules else piece)
        badge = f"<b>{html.escape(self.guard)}: {self.action}</b>"
        return f'<div class="langchain-guard">{badge}<pre style="white-space:pre-wrap">{"".join(out)}</pre></div>'

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{html.escape(f.rule)}</td><td>{html.escape(f.kind)}</td><td>{html.escape(f.where)}</td>"
            f"<td>{f.start}:{f.end}</td><td>{f.score:.2f}</td></tr>"
            for f in self.findings
        )
        score = "" if self.score is None else f" (score {self.score:.3f})"
        head = f"<b>{html.escape(self.guard)}: {self.action}</b>{score}"
        if not rows:
            return head
        return (
            f"{head}<table><tr><th>rule</th><th>kind</th><th>where</th><th>place</th><th>score</th></tr>{rows}</table>"
        )


def worst(actions: Iterable[Action]) -> Action:
    """The most severe of several actions; "allow" when there is none."""
    return max(actions, key=_SEVERITY.__getitem__, default="allow")
