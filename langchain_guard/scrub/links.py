"""Ways out of a rendered answer: links to other hosts, active HTML, terminal escape sequences.

A client that renders Markdown or HTML fetches what an answer names, and a model that was told to can put data into the
address (EchoLeak, CVE-2025-32711, passed a filter on inline links by way of reference links). So the host of *every*
absolute or protocol-relative address counts, wherever it stands, and the schemes that run something are never let through.
"""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from langchain_guard.errors import ConfigError
from langchain_guard.scrub.finder import Search

if TYPE_CHECKING:
    from collections.abc import Iterable

    from langchain_guard.verdict import Action

_HOST = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_URL_BODY = r"[^\s<>\"'`\\)\]}|]"
_SLASH = r"(?:/|\\|&#0{0,4}47;|&#x0{0,4}2f;|&sol;)"
_COLON = r"(?::|&#0{0,4}58;|&#x0{0,4}3a;|&colon;)"

# The letters of a scheme may be written as entities and have controls between them: browsers drop both.
_JUNK = r"(?:[\t\r\n]|&(?:tab|newline);){0,3}"


def _spelled(word: str) -> str:
    return _JUNK.join(f"(?:{char}|&#0{{0,4}}{ord(char)};|&#x0{{0,4}}{ord(char):x};)" for char in word)


_TAGS = (
    "script|iframe|object|embed|svg|img|link|meta|base|form|style|video|audio|source|track|input|button|math|template"
    "|frame|frameset|applet|portal|body|marquee|details|dialog|picture"
)


class _Hosts:
    """Says whether an address leads elsewhere than to the allowed hosts and their subdomains."""

    def __init__(self, hosts: frozenset[str]) -> None:
        self.hosts = hosts

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Hosts) and other.hosts == self.hosts

    def __hash__(self) -> int:
        return hash(self.hosts)

    def __call__(self, address: str) -> bool:
        address = html.unescape(address).replace("\\", "/")
        address = re.sub(r"[\x00-\x20]", "", address)
        if "//" in address:
            address = "https://" + address.split("//", 1)[1].lstrip("/")
        try:
            parts = urlsplit(address)
            host = unquote(parts.hostname or "").rstrip(".").lower()
        except ValueError:
            return True
        if "@" in parts.netloc or not _HOST.fullmatch(host):
            return True
        labels = host.split(".")
        return not any(".".join(labels[index:]) in self.hosts for index in range(len(labels)))


def searches(hosts: Iterable[str]) -> list[Search]:
    """What looks for links and markup that lead or act outside of `hosts`.

    Args:
        hosts: Names such as ``"example.com"``, which allows its subdomains too.

    Raises:
        ConfigError: A host is not a host name: a scheme, a path, a port or a wildcard stands in it.
    """
    names = set()
    for host in hosts:
        name = host.lower().rstrip(".") if isinstance(host, str) else ""
        if not _HOST.fullmatch(name):
            raise ConfigError(f"allow_hosts: {host!r} must be a host name such as 'example.com'")
        names.add(name)
    elsewhere = _Hosts(frozenset(names))
    redact: Action = "redact"
    return [
        Search(
            "url",
            "link",
            redact,
            rf"(?ai)(?<![a-z0-9])(?:{_spelled('http')}{_JUNK}(?:{_spelled('s')})?|ftps?|wss?|sftp|file|gopher|ssh|git|ldaps?){_JUNK}{_COLON}{_SLASH}{{1,3}}{_URL_BODY}{{1,2048}}",
            elsewhere,
            2048,
        ),
        Search(
            "protocol_relative_url",
            "link",
            redact,
            rf"(?ai)(?<![\w:/\\])[/\\]{{2}}(?:[^\s<>\"'`\\)\]}}|/]{{0,64}}@)?[a-z0-9-]{{1,63}}(?:\.[a-z0-9-]{{1,63}}){{1,8}}(?:[:/?#]{_URL_BODY}{{0,2048}})?",
            elsewhere,
            2048,
        ),
        Search(
            "script_scheme",
            "link",
            redact,
            rf"(?ai)(?<![a-z0-9])(?:{_spelled('javascript')}|{_spelled('vbscript')}|{_spelled('livescript')}|mocha){_JUNK}{_COLON}[^\s<>\"]{{0,2048}}",
            None,
            2048,
        ),
        Search(
            "data_scheme",
            "link",
            redact,
            rf"(?ai)(?<![a-z0-9]){_spelled('data')}{_JUNK}{_COLON}\s{{0,3}}(?:text/html|text/xml|image/svg\+xml|application/[a-z+-]{{1,40}})[^\s\"'<>)]{{0,4096}}",
            None,
            4096,
        ),
        Search(
            "html_tag",
            "markup",
            redact,
            rf"(?ai)</?\s{{0,4}}(?:{_TAGS})(?![a-z0-9-])(?:\"[^\"]{{0,2048}}\"|'[^']{{0,2048}}'|[^>\"']){{0,1024}}>?",
            None,
            1024,
        ),
        Search(
            "event_attribute",
            "markup",
            redact,
            r"(?ai)(?<=[\s\"'/])on[a-z]{3,24}\s{0,4}=\s{0,4}(?:\"[^\"]{0,2048}\"|'[^']{0,2048}'|[^\s>\"']{1,2048})",
            None,
            2048,
        ),
        Search("ansi", "ansi", redact, r"(?a)(?:\x1b\[|\x9b)[0-?]{0,64}[ -/]{0,16}[@-~]", None, 64),
        Search(
            "ansi",
            "ansi",
            redact,
            r"(?a)(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]{0,4096}(?:\x07|\x1b\\|\x9c)?",
            None,
            4096,
        ),
        Search("ansi", "ansi", redact, r"(?a)\x1b(?:[ -/]{1,4}[0-~]|[0-OQ-WYZ\\`-~])", None, 16),
        Search(
            "control",
            "ansi",
            redact,
            r"(?a)[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f\x80-\x8f\x91-\x97\x99\x9a\x9c]",
            None,
            1,
        ),
    ]
