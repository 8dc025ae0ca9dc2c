"""Opening and connecting to what was judged, and to nothing that took its place since.

`Arg.path` and `Arg.url` judge names. Between the judgement and the use, a link can be put in a folder's place and a name
can resolve to another address. These two close the gap: one opens component by component without following links, the
other resolves a name once and judges every address, so that the tool can connect to the one that it gets.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_NAT64 = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def open_below(root: str | os.PathLike[str], path: str, flags: int = os.O_RDONLY) -> int:
    """Open a file below `root` without following a symbolic link anywhere below it.

    Args:
        root: The folder of `Arg.path`; it may itself be, or lie behind, a link.
        path: The canonical path that `Arg.path` handed to the tool.
        flags: As for `os.open`.

    Returns:
        A file descriptor, for `os.fdopen`.

    Raises:
        OSError: A component is a link, or cannot be opened.
        ValueError: `path` is not below `root`.
    """
    real_root = Path(root).resolve(strict=True)
    *folders, name = Path(path).relative_to(real_root).parts or (".",)
    if ".." in (*folders, name):
        raise ValueError("the path is not canonical")
    here = os.open(real_root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for folder in folders:
            inner = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=here)
            os.close(here)
            here = inner
        return os.open(name, flags | os.O_NOFOLLOW, 0o666, dir_fd=here)
    finally:
        os.close(here)


def public_address(host: str, port: int = 443, *, resolve: Callable[[str, int], list[str]] | None = None) -> str:
    """An address of `host` to connect to, resolved once; every address that the name has must be a public one.

    Connect to what this returns (and keep the name for TLS and the Host header); resolving again could give another.

    Args:
        host: A name that `Arg.url` let through.
        port: The port to connect to.
        resolve: Returns the addresses of a name; None for the system's resolver.

    Raises:
        PermissionError: An address is private, loopback, link-local, reserved, or embeds such an IPv4 address.
        OSError: The name cannot be resolved.
    """
    addresses = (resolve or _resolved)(host, port)
    if not addresses:
        raise OSError(f"{host!r} has no address")
    for address in addresses:
        if not _is_public(ipaddress.ip_address(address.partition("%")[0])):
            raise PermissionError(f"{host!r} resolves to an address that is not public")
    return addresses[0]


def _resolved(host: str, port: int) -> list[str]:
    return [str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def _is_public(address: _Address) -> bool:
    """Whether packets to an address leave for the public internet, seen through the tunnels of IPv6."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return _is_public(inner)
    return address.is_global and not address.is_multicast
