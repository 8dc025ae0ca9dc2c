"""The command line: a demo, and the guards on texts.

Exit status: 0; 1 when ``scan`` blocked something; 2 for arguments that cannot be used, with one line on standard error.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from langchain_guard.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from langchain_guard.verdict import Verdict

PROGRAM = "python -m langchain_guard"

GUARDS = ("rate_limit", "injection", "scrub", "tool_scope")


class _UsageError(Exception):
    """An argument cannot be used; the message is one line for the user."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise _UsageError(message)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog=PROGRAM, description="Guards for LLM applications that are LangChain Runnables.")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")

    demo = commands.add_parser("demo", help="a guarded chain at work, offline (the default)")
    demo.add_argument("--without", action="append", default=[], choices=GUARDS, help="leave a guard out, to compare")
    demo.add_argument("--model", help="ask this model through ChatOpenAI in place of the built-in local server")
    demo.add_argument("--base-url", help="an OpenAI-compatible server for --model; the key is read from OPENAI_API_KEY")

    scan = commands.add_parser("scan", help="judge texts; exit 1 when one is blocked")
    scan.add_argument("text", nargs="*", help="a text; with no text and no file, standard input is read")
    scan.add_argument("-f", "--file", action="append", default=[], type=Path, help="a file of UTF-8 text")
    scan.add_argument("--source", choices=["user", "document"], default="user", help="who wrote the text (user)")
    scan.add_argument("--profile", choices=["strict", "balanced", "quiet"], default="balanced", help="(balanced)")
    scan.add_argument("--kinds", default="default", help='what to look for: "default", "secrets", "pii", "all"')
    scan.add_argument("--json", action="store_true", help="one JSON object per verdict and line")

    # These two have parsers of their own; see main.
    commands.add_parser("evaluate", help="measure a guard on labelled texts", add_help=False)
    commands.add_parser("train", help="train the injection model", add_help=False)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status.

    Args:
        argv: The arguments; by default those of the process.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        return _run(arguments)
    except (_UsageError, ConfigError) as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)  # noqa: T201
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        sys.stderr.close()  # the reader has gone: nothing more to say, also not at exit
        return 0


def _run(arguments: list[str]) -> int:
    # Each command loads its part of the package only when it runs: `scan --help` need not wait for it.
    if arguments[:1] == ["evaluate"]:
        from langchain_guard import evaluation  # noqa: PLC0415

        return evaluation.main(arguments[1:])
    if arguments[:1] == ["train"] and "--encoder" in arguments:
        from langchain_guard.injection.encoder import train as train_encoder  # noqa: PLC0415

        return train_encoder.main([argument for argument in arguments[1:] if argument != "--encoder"])
    if arguments[:1] == ["train"]:
        from langchain_guard.injection import train  # noqa: PLC0415

        return train.main(arguments[1:])
    if not arguments or (arguments[0].startswith("-") and arguments[0] not in {"-h", "--help"}):
        arguments = ["demo", *arguments]
    options = _parser().parse_args(arguments)
    if options.command == "scan":
        return _scan(options)
    if options.base_url and not options.model:
        raise _UsageError("--base-url needs --model NAME")
    if options.model and not options.base_url and not os.environ.get("OPENAI_API_KEY"):
        raise _UsageError("--model needs a key in OPENAI_API_KEY, or a server that asks for none in --base-url")
    from langchain_guard import demo  # noqa: PLC0415

    return demo.main(options.without, options.model, options.base_url)


def _scan(options: argparse.Namespace) -> int:
    from langchain_guard import InjectionDetector, OutputScrubber  # noqa: PLC0415

    guards = [
        InjectionDetector(profile=options.profile, source=options.source),
        OutputScrubber(kinds=options.kinds),
    ]
    blocked = False
    for name, text in _texts(options):
        for guard in guards:
            verdict = guard.check(text)
            blocked |= verdict.blocked
            row = {"text": name, **verdict.payload()}
            print(json.dumps(row) if options.json else f"{name}: {describe(verdict)}")  # noqa: T201
    return 1 if blocked else 0


def _texts(options: argparse.Namespace) -> Iterator[tuple[str, str]]:
    for number, text in enumerate(options.text, 1):
        yield f"argument {number}", text
    for path in options.file:
        try:
            yield str(path), path.read_text(encoding="utf-8")
        except OSError as error:
            raise _UsageError(f"cannot read {path}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise _UsageError(f"cannot read {path}: it is not UTF-8 text") from None
    if not options.text and not options.file:
        try:
            yield "standard input", sys.stdin.read()
        except UnicodeDecodeError:
            raise _UsageError("cannot read standard input: it is not UTF-8 text") from None


def describe(verdict: Verdict) -> str:
    """A verdict in one line: who, what, how sure, why and where; never the text that was found."""
    parts = [f"{verdict.guard}: {verdict.action}"]
    if verdict.score is not None:
        parts.append(f"score {verdict.score:.2f}")
    for finding in verdict.findings:
        place = f"{finding.start}:{finding.end}" if finding.end else ""
        at = " ".join(filter(None, (finding.where, place)))
        parts.append(f"{finding.rule} at {at}" if at else finding.rule)
    if seconds := verdict.details.get("retry_after"):
        parts.append(f"again in {seconds:.0f} s")
    return ", ".join(parts)
