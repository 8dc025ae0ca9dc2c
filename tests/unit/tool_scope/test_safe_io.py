"""`open_below` and `public_address`: what was judged is what is opened and connected to."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from langchain_guard import Arg
from langchain_guard.tool_scope import open_below, public_address

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "data" / "sub").mkdir(parents=True)
    (tmp_path / "data" / "sub" / "a.txt").write_text("inside")
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "a.txt").write_text("outside")
    return tmp_path / "data"


def read(root: Path, path: str) -> str:
    with os.fdopen(open_below(root, path)) as file:
        return file.read()


def test_what_the_check_hands_out_can_be_opened(root: Path) -> None:
    path = Arg.path(root).check("sub/a.txt")[1]
    assert read(root, path) == "inside"
    link = root.parent / "link"
    link.symlink_to(root)
    assert read(link, Arg.path(link).check("sub/a.txt")[1]) == "inside"


def test_a_new_file_can_be_written(root: Path) -> None:
    path = Arg.path(root).check("sub/new.txt")[1]
    with os.fdopen(open_below(root, path, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "w") as file:
        file.write("new")
    assert (root / "sub" / "new.txt").read_text() == "new"


def test_a_link_that_took_a_places_after_the_check_is_not_followed(root: Path) -> None:
    path = Arg.path(root).check("sub/a.txt")[1]
    (root / "sub" / "a.txt").unlink()
    (root / "sub" / "a.txt").symlink_to(root.parent / "secret" / "a.txt")
    with pytest.raises(OSError, match="symbolic links"):
        read(root, path)
    (root / "sub" / "a.txt").unlink()
    (root / "sub").rmdir()
    (root / "sub").symlink_to(root.parent / "secret")
    assert (root / "sub" / "a.txt").read_text() == "outside", "this is what open() would do"
    with pytest.raises(OSError, match=r"Not a directory|symbolic links"):
        read(root, path)


def test_a_path_that_is_not_below_is_not_opened(root: Path) -> None:
    for path in (str(root.parent / "secret" / "a.txt"), f"{root}/../secret/a.txt", "sub/a.txt"):
        with pytest.raises((ValueError, OSError)):
            read(root, path)


PUBLIC = ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"]
INNER = [
    "127.0.0.1",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "0.0.0.0",
    "255.255.255.255",
    "224.0.0.1",
    "198.18.0.1",
    "192.0.2.1",
    "::1",
    "::",
    "fe80::1",
    "fe80::1%eth0",
    "fc00::1",
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "2001:db8::1",
]


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_the_one_to_connect_to(address: str) -> None:
    assert public_address("api.example.com", resolve=lambda host, port: [address]) == address


@pytest.mark.parametrize("address", INNER)
def test_a_name_with_an_inner_address_is_refused_even_beside_a_public_one(address: str) -> None:
    for answer in ([address], [PUBLIC[0], address]):
        with pytest.raises(PermissionError) as caught:
            public_address("api.example.com", resolve=lambda host, port, answer=answer: answer)
        assert address not in str(caught.value)


def test_the_systems_resolver_is_the_default() -> None:
    with pytest.raises(PermissionError):
        public_address("localhost")
    with pytest.raises(OSError, match="no address"):
        public_address("api.example.com", resolve=lambda host, port: [])
