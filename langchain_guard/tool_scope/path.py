"""Paths below one folder.

The canonical value is the real path, which is what runs. A check cannot prevent a race: whoever can write below the
folder can put a symbolic link in place after it. `open_below` opens a checked path without following any.
"""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from langchain_guard.errors import ConfigError
from langchain_guard.tool_scope.arg import Arg, Asked, Violation

if TYPE_CHECKING:
    from typing import NoReturn

MAX_PATH = 4096
"""Longest path in code points; PATH_MAX of Linux."""

# What a layer below might decode or expand, though the file system would take it literally.
_DECODED = re.compile(r"%(?!20)[0-9a-f]{2}|%u[0-9a-f]{4}", re.IGNORECASE)
_EXPANDED = re.compile(r"^~|\$[A-Za-z_{(]|%[A-Za-z_]\w*%|[\\`]|^[A-Za-z]:|^[A-Za-z][A-Za-z0-9+.-]*://|^//")
# Schemes that libraries open without "//", such as file:/etc/passwd, jar:file:/a!/b and data:text/plain,x.
_SCHEME = re.compile(
    r"(?:about|blob|data|dict|expect|file|ftps?|gopher|gs|https?|jar|javascript|ldaps?|netdoc|nfs|phar|php|s3|sftp|smb"
    r"|tar|vbscript|view-source|wss?|zip):",
    re.IGNORECASE,
)
# Components that a layer below could take for "..": Windows drops trailing dots and blanks, servers what follows a
# semicolon, naive filters one "../" of "....//". And alternate data streams of NTFS (name.txt:stream).
_TAKEN_FOR_OTHER = re.compile(r"(?!\.{1,2}$)(?:.*[. ]|\.{1,2};.*)|.*\.\w+:.*|.*::.*", re.DOTALL)
# Characters that look like, or under NFKC become, dots and slashes (Unicode confusables of U+002E and U+002F).
_LOOKALIKE = re.compile(
    "[\u2024\u2025\u2026\u2044\u2215\u2571\u29f5\u29f8\u29f9\ufe52\ufe68\uff0e\uff0f\uff3c\u3002\uff61]"
)
# Device names that Windows reserves in every folder (Microsoft, "Naming Files, Paths, and Namespaces").
_RESERVED = re.compile(r"(?:con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])(?:[ .:].*)?", re.IGNORECASE)
_CONTROL = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


@dataclass(frozen=True, slots=True)
class Below(Arg):
    """`Arg.path`: a path to `root` or something below it, absolute or relative to `root`.

    Symbolic links are followed as long as each one leads to a place below `root`; ``..`` may not climb out on the way,
    not even to come back. Refused as well: what another layer may decode or expand (percent codes, ``~``, ``$``,
    backslashes, drives, look-alike dots and slashes, control characters), and whatever is neither a file nor a folder.
    The path need not exist.

    Args:
        root: An absolute path of a folder.

    Raises:
        ConfigError: `root` is empty or relative.
    """

    root: str
    kind: ClassVar[str] = "path"

    def __init__(self, root: str | os.PathLike[str]) -> None:
        if not isinstance(root, str | os.PathLike):
            raise ConfigError(f"Arg.path(root) must be a path, not {type(root).__name__}")
        name = os.fspath(root)
        if not isinstance(name, str) or not Path(name).is_absolute():
            raise ConfigError(
                f"Arg.path(root={name!r}) must be an absolute path: a relative one depends on where we run"
            )
        object.__setattr__(self, "root", os.path.normpath(name))

    @override
    def canonical(self, value: Any, asked: Asked) -> Any:
        if isinstance(value, os.PathLike):
            value = os.fspath(value)
        text = _plain(value)
        try:
            real_root = os.path.realpath(self.root, strict=True)
            return _walk(real_root, self._parts(text, real_root))
        except (OSError, ValueError, RuntimeError):  # RuntimeError: a loop of links
            raise Violation("path", "cannot be looked up") from None

    def _parts(self, text: str, real_root: str) -> list[str]:
        """The components below the root."""
        parts = text.split("/")
        if not text.startswith("/"):
            return parts
        for root in (self.root, real_root):
            above = root.rstrip("/").split("/")
            if parts[: len(above)] == above:
                return parts[len(above) :]
        return _refuse("is outside of the allowed folder")

    @override
    def sentence(self) -> str:
        return f"A path below {self.root}, absolute or relative to it."

    @override
    def data(self) -> dict[str, Any]:
        return {"path": {"root": self.root}}


def _refuse(reason: str) -> NoReturn:
    raise Violation("path", reason) from None


def _plain(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        _refuse("must be a non-empty string")
    if len(value) > MAX_PATH:
        _refuse("is too long")
    plain = value.isascii() and value.isprintable()
    if not plain and any(unicodedata.category(char) in _CONTROL for char in value):
        _refuse("holds a control character")
    if any(pattern.search(value) for pattern in (_DECODED, _EXPANDED, _LOOKALIKE)) or _SCHEME.match(value):
        _refuse("has a form that could be decoded or expanded")
    folded = value if plain else unicodedata.normalize("NFKC", value)
    if folded.count("/") != value.count("/") or folded.count(".") != value.count("."):
        _refuse("has a form that could be decoded or expanded")
    parts = value.split("/")
    if any(map(_RESERVED.fullmatch, parts)):
        _refuse("names a device")
    if any(map(_TAKEN_FOR_OTHER.fullmatch, parts)):
        _refuse("has a name that could be taken for another")
    return value


def _walk(root: str, parts: list[str]) -> str:
    """The real path, looked up component by component, each of which has to stay below `root`."""
    here, base, mode = root, root.rstrip("/"), 0
    for part in parts:
        if part in ("", "."):
            continue
        here = here.rpartition("/")[0] or "/" if part == ".." else f"{here.rstrip('/')}/{part}"
        mode = _mode(here)
        if stat.S_ISLNK(mode):
            here = os.path.realpath(here)
            mode = _mode(here)
        if here != root and not here.startswith(f"{base}/"):
            _refuse("is outside of the allowed folder")
    if mode and not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        _refuse("is neither a file nor a folder")
    return here


def _mode(path: str) -> int:
    """The kind of what stands at a path, without following a last link; 0 if there is nothing."""
    try:
        return os.lstat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return 0
