"""URLs on a list of hosts.

Parsers disagree about odd URLs (WHATWG URL, RFC 3986 and each library in its own way), and the disagreement is the
attack. So the grammar here is small: what every parser reads alike passes, everything else is refused, and what runs is
put together anew from the parts that were judged.

A check of the name cannot prevent a race: a name can resolve to another address a moment later, and a server can answer
with a redirect. A tool that fetches has to connect to an address that it has checked (`public_address`), and to judge
every redirect (``Arg.url(...).check(location)``) before it follows it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

from typing_extensions import override

from langchain_guard.errors import ConfigError
from langchain_guard.tool_scope.arg import Arg, Asked, Violation

if TYPE_CHECKING:
    from typing import NoReturn

MAX_URL = 8192
"""Longest URL in characters; RFC 9110 section 4.1 asks for at least 8000."""

DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443, "ftp": 21}

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST = re.compile(rf"(?:{_LABEL}\.){{1,8}}{_LABEL}")
_NUMBER = re.compile(r"0x[0-9a-f]*|[0-9]+")
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,20})://([^/?#]{1,260})([^?#]*)(\?[^#]*)?(#.*)?", re.DOTALL)
# What RFC 3986 wants written as %XX in a query, and everybody writes plainly: ?filter[city]=Oslo&ids=1|2
_PLAINLY = re.compile(r"[\[\]|]")
# The characters that RFC 3986 allows after the authority; percent signs only as %XX.
_REST = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*")


@dataclass(frozen=True, slots=True)
class OnHost(Arg):
    """`Arg.url`: an absolute URL whose host is on a list.

    Refused: user names and passwords, addresses in any notation, hosts without a dot, percent codes and non-ASCII
    characters in the host (write an internationalised name in its ``xn--`` form), control characters, spaces and
    backslashes anywhere, other schemes and ports. Brackets and bars in a query become percent codes. A fragment is
    dropped: it is not sent.

    Args:
        hosts: Names such as ``"api.example.com"``, or ``"*.docs.example.org"`` for every name below that one.
        schemes: Allowed schemes.
        ports: Allowed ports; None for the default ports of the schemes.

    Raises:
        ConfigError: There is no host, or one is no name.
    """

    hosts: tuple[str, ...]
    schemes: tuple[str, ...]
    ports: tuple[int, ...]
    kind: ClassVar[str] = "url"

    def __init__(
        self, hosts: Iterable[str], schemes: Iterable[str] = ("https",), ports: Iterable[int] | None = None
    ) -> None:
        hosts, schemes = _several(hosts, "hosts"), _several(schemes, "schemes")
        for host in hosts:
            if not isinstance(host, str) or not _is_name(host.removeprefix("*.").lower()):
                raise ConfigError(
                    f"Arg.url(hosts): {host!r} must be a host name such as 'api.example.com' or '*.example.com', "
                    "without scheme, port or path, and no address"
                )
        for scheme in schemes:
            if not isinstance(scheme, str) or scheme.lower() not in DEFAULT_PORTS:
                raise ConfigError(f"Arg.url(schemes): {scheme!r} must be one of {', '.join(DEFAULT_PORTS)}")
        allowed = tuple(DEFAULT_PORTS[scheme.lower()] for scheme in schemes) if ports is None else tuple(ports)
        for port in allowed:
            if not isinstance(port, int) or isinstance(port, bool) or not 0 < port < 65536:
                raise ConfigError(f"Arg.url(ports): {port!r} must be a port, 1 to 65535")
        object.__setattr__(self, "hosts", tuple(host.lower() for host in hosts))
        object.__setattr__(self, "schemes", tuple(scheme.lower() for scheme in schemes))
        object.__setattr__(self, "ports", allowed)

    @override
    def canonical(self, value: Any, asked: Asked) -> Any:
        if not isinstance(value, str) or len(value) > MAX_URL or not value.isascii():
            _refuse("must be an ASCII string")
        match = _URL.fullmatch(value)
        if match is None:
            _refuse("is no absolute URL")
        scheme, authority, path, query, fragment = match.groups(default="")
        query = _PLAINLY.sub(lambda found: f"%{ord(found[0]):02X}", query)
        if not _REST.fullmatch(path + query + fragment.replace("#", "", 1)):
            _refuse("holds a character that does not belong there")
        host, colon, port = authority.partition(":")
        host = host.lower().removesuffix(".")
        if not _is_name(host):
            _refuse("must name its host plainly")
        if scheme.lower() not in self.schemes:
            _refuse("has a scheme that is not allowed")
        number = DEFAULT_PORTS[scheme.lower()]
        if colon:
            if not re.fullmatch(r"[0-9]{1,5}", port):
                _refuse("has a port that is not allowed")
            number = int(port)
        if number not in self.ports:
            _refuse("has a port that is not allowed")
        if not any(_matches(host, allowed) for allowed in self.hosts):
            _refuse("is on a host that is not allowed")
        shown = "" if number == DEFAULT_PORTS[scheme.lower()] else f":{number}"
        canonical = f"{scheme.lower()}://{host}{shown}{path or '/'}{query}"
        parts = urlsplit(canonical)
        if (parts.hostname, parts.username, parts.scheme) != (host, None, scheme.lower()):
            _refuse("is read differently by different parsers")
        return canonical

    @override
    def sentence(self) -> str:
        return f"A URL with {' or '.join(self.schemes)} on {' or '.join(self.hosts)}."

    @override
    def data(self) -> dict[str, Any]:
        return {"url": {"hosts": list(self.hosts), "schemes": list(self.schemes), "ports": list(self.ports)}}


def _several(values: Any, what: str) -> tuple[Any, ...]:
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise ConfigError(f"Arg.url({what}={values!r}) must be a list of str")
    out = tuple(values)
    if not out:
        raise ConfigError(f"Arg.url({what}) needs at least one")
    return out


def _is_name(host: str) -> bool:
    """A dotted name that no parser takes for an address (the last label of an IPv4 address in any notation is a number)."""
    return len(host) <= 253 and bool(_HOST.fullmatch(host)) and not _NUMBER.fullmatch(host.rpartition(".")[2])


def _matches(host: str, allowed: str) -> bool:
    return host.endswith(allowed[1:]) if allowed.startswith("*.") else host == allowed


def _refuse(reason: str) -> NoReturn:
    raise Violation("url", reason)
