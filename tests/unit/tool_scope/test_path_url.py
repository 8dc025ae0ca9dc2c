"""`Arg.path` and `Arg.url`: what gets through, and as what."""

from __future__ import annotations

import os
import pickle
import socket
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_guard import Arg, ConfigError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with a file, a sub-folder, and links that stay inside, lead out, or go in circles."""
    folder = tmp_path / "data"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.txt").write_text("a")
    (folder / "sub" / "b.txt").write_text("b")
    (folder / "inside").symlink_to(folder / "sub")
    (folder / "relative").symlink_to("sub/b.txt")
    (folder / "out").symlink_to("/etc")
    (folder / "passwd").symlink_to("/etc/passwd")
    (folder / "up").symlink_to("..")
    (folder / "loop").symlink_to("loop")
    (folder / "dangling").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(folder / "pipe")
    (tmp_path / "database").mkdir()
    (tmp_path / "data.bak").write_text("x")
    return folder


INSIDE = [
    ("a.txt", "a.txt"),
    ("./a.txt", "a.txt"),
    ("sub/../a.txt", "a.txt"),
    ("sub//b.txt", "sub/b.txt"),
    ("inside/b.txt", "sub/b.txt"),
    ("relative", "sub/b.txt"),
    ("new/file.txt", "new/file.txt"),
    ("sub", "sub"),
    (".", ""),
    ("a..b.txt", "a..b.txt"),
    ("[...nextauth].ts", "[...nextauth].ts"),
    (".hidden", ".hidden"),
    ("with space, ünïcode.txt", "with space, ünïcode.txt"),
    ("100%.txt", "100%.txt"),
    ("comma;semi&amp.txt", "comma;semi&amp.txt"),
    ("console.log", "console.log"),
    ("a%20b.txt", "a%20b.txt"),
    ("price$.txt", "price$.txt"),
    ("50% off.txt", "50% off.txt"),
    ("2024-01-05T10:00.log", "2024-01-05T10:00.log"),
    ("archive.tar.gz", "archive.tar.gz"),
    ("database.md", "database.md"),
]


@pytest.mark.parametrize(("given_path", "real"), INSIDE)
def test_a_path_inside_becomes_the_real_one(root: Path, given_path: str, real: str) -> None:
    expected = str(root / real) if real else str(root)
    scope = Arg.path(root)
    assert scope.check(given_path)[1] == expected
    assert scope.check(str(root) + "/" + given_path)[1] == expected
    assert scope.check(expected)[1] == expected, "the canonical value is its own"


OUTSIDE = [
    "..",
    "../data.bak",
    "../data/a.txt",
    "sub/../../data.bak",
    "sub/../../../../../../etc/passwd",
    "/etc/passwd",
    "/",
    "{parent}/database/x",
    "{parent}/data.bak",
    "{parent}/data/../data.bak",
    "{root}/../../etc/passwd",
    "/etc/../{root}/a.txt",
    "/proc/self/root/etc/passwd",
    "/dev/null",
    "out/passwd",
    "out",
    "out/../{root}/a.txt",
    "up/data/a.txt",
    "passwd",
    "loop",
    "dangling",
    "pipe",
    "a.txt\0.png",
    "a.txt\n",
    "sub/\r\n../x",
    "sub/\u202egpj.exe",
    "%2e%2e/x",
    "%2E%2e%2Fx",
    "sub%2f..%2f..%2fx",
    "%252e%252e/x",
    "a%00.txt",
    "\u2025/x",
    "\uff0e\uff0e/x",
    "sub\uff0f..\uff0fx",
    "\u2024\u2024/x",
    "..\\x",
    "sub\\..\\..\\x",
    "C:\\x",
    "c:/x",
    "\\\\server\\share",
    "//server/share",
    "nul",
    "sub/COM1.txt",
    "aux.c",
    "a.txt::$DATA",
    "~",
    "~root/x",
    "$HOME/x",
    "${HOME}/x",
    "file:///etc/passwd",
    "http://x/y",
    "file:/etc/passwd",
    "FILE:a.txt",
    "jar:file:/x!/y",
    "data:text/plain,x",
    "`id`",
    "%HOME%/x",
    "%c0%ae%c0%ae/x",
    "%c0%af",
    "%uff0e%uff0e/x",
    "a%0a.txt",
    "....//....//etc/passwd",
    "..././../etc",
    ".../x",
    "..;/etc",
    "sub/..;a=b/x",
    ". ./x",
    ".. /x",
    "a.txt.",
    "a.txt ",
    "a.txt:stream",
    "a.txt:$DATA",
    "",
    "   ",
    "x" * 5000,
]


@pytest.mark.parametrize("given_path", OUTSIDE)
def test_a_path_that_leads_or_could_be_read_as_leading_out_is_refused(root: Path, given_path: str) -> None:
    verdict, canonical = Arg.path(root).check(
        given_path.format(root=root, parent=root.parent) if "{" in given_path and "$" not in given_path else given_path
    )
    assert verdict.blocked
    assert canonical is None
    assert str(root) not in repr(verdict)


@pytest.mark.parametrize("value", [None, 5, b"a.txt", ["a.txt"], {"path": "a.txt"}])
def test_only_a_str_is_a_path(root: Path, value: Any) -> None:
    assert Arg.path(root).check(value)[0].blocked


def test_a_path_object_is_one_too(root: Path) -> None:
    assert Arg.path(root).check(root / "a.txt")[1] == str(root / "a.txt")


def test_a_socket_is_no_file(root: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        try:
            listener.bind(str(root / "s"))
        except OSError:
            pytest.skip("the temporary folder's path is too long for a socket")
        assert Arg.path(root).check("s")[0].blocked


def test_a_root_that_is_a_link_is_the_folder_it_leads_to(root: Path) -> None:
    link = root.parent / "link"
    link.symlink_to(root)
    scope = Arg.path(link)
    assert scope.check("a.txt")[1] == str(root / "a.txt")
    assert scope.check(f"{link}/a.txt")[1] == str(root / "a.txt")
    assert scope.check(f"{root}/a.txt")[1] == str(root / "a.txt")


def test_a_root_that_does_not_exist_allows_nothing(root: Path) -> None:
    assert Arg.path(root / "missing").check("a.txt")[0].blocked


@pytest.mark.parametrize("bad", ["", "data", "./data", None, 5])
def test_a_root_has_to_be_absolute(bad: Any) -> None:
    with pytest.raises(ConfigError, match=r"Arg.path\(root"):
        Arg.path(bad)


@given(
    st.lists(st.sampled_from(["..", ".", "", "sub", "inside", "out", "up", "a.txt", "new", "/"]), max_size=8).map(
        "/".join
    )
)
def test_whatever_passes_is_inside(tmp_path_factory: pytest.TempPathFactory, given_path: str) -> None:
    folder = tmp_path_factory.getbasetemp() / "walk"
    if not folder.exists():
        (folder / "sub").mkdir(parents=True)
        (folder / "inside").symlink_to("sub")
        (folder / "out").symlink_to("/etc")
        (folder / "up").symlink_to("..")
        (folder / "a.txt").write_text("a")
    verdict, canonical = Arg.path(folder).check(given_path)
    if not verdict.blocked:
        real = os.path.realpath(folder / given_path if not given_path.startswith("/") else given_path)
        assert canonical == real
        assert os.path.commonpath([real, folder]) == str(folder)


# -- URLs

HOSTS = Arg.url(["api.example.com", "*.docs.example.org", "xn--bcher-kva.example"])

GOOD = [
    ("https://api.example.com", "https://api.example.com/"),
    ("https://api.example.com/", "https://api.example.com/"),
    ("https://api.example.com/v1/items?id=3&x=%20y", "https://api.example.com/v1/items?id=3&x=%20y"),
    ("https://api.example.com?q=1", "https://api.example.com/?q=1"),
    ("HTTPS://API.EXAMPLE.COM./V1", "https://api.example.com/V1"),
    ("https://api.example.com:443/v1", "https://api.example.com/v1"),
    ("https://a.docs.example.org/x", "https://a.docs.example.org/x"),
    ("https://a.b.docs.example.org/x", "https://a.b.docs.example.org/x"),
    ("https://xn--bcher-kva.example/", "https://xn--bcher-kva.example/"),
    ("https://api.example.com/@user:x", "https://api.example.com/@user:x"),
    ("https://api.example.com/a#section", "https://api.example.com/a"),
    ("https://api.example.com/?filter[a]=1|2", "https://api.example.com/?filter%5Ba%5D=1%7C2"),
    ("https://api.example.com/?next=https://evil.test/", "https://api.example.com/?next=https://evil.test/"),
]


@pytest.mark.parametrize(("url", "canonical"), GOOD)
def test_a_url_on_an_allowed_host_becomes_the_normal_one(url: str, canonical: str) -> None:
    assert HOSTS.check(url)[1] == canonical
    assert HOSTS.check(canonical)[1] == canonical


BAD = [
    "https://evil.test/",
    "https://api.example.com.evil.test/",
    "https://xapi.example.com/",
    "https://example.com/",
    "https://docs.example.org/",
    "https://xdocs.example.org/",
    "https://.docs.example.org/",
    "http://api.example.com/",
    "ftp://api.example.com/",
    "javascript:alert(1)//api.example.com",
    "data:text/html,https://api.example.com/",
    "//api.example.com/",
    "/v1",
    "api.example.com",
    "https:api.example.com",
    "https:/api.example.com/",
    "https:///api.example.com/",
    "https://",
    "",
    " https://api.example.com/",
    "https://api.example.com/ x",
    "https://api.example.com/\tx",
    "https://api.example.com/\r\nHost: evil.test",
    "https://api.exam\nple.com/",
    "https://api.example.com\\@evil.test/",
    "https://evil.test\\@api.example.com/",
    "https://evil.test\\.api.example.com/",
    "https://user@api.example.com/",
    "https://user:pass@api.example.com/",
    "https://api.example.com@evil.test/",
    "https://a@b@api.example.com/",
    "https://@api.example.com/",
    "https://evil.test#@api.example.com/",
    "https://evil.test?@api.example.com/",
    "https://evil.test/https://api.example.com/",
    "https://api.example.com:8443/",
    "https://api.example.com:/",
    "https://api.example.com:443x/",
    "https://api.example.com:0443000/",
    "https://api.example.com:443:443/",
    "https://api.example.com:+443/",
    "https://127.0.0.1/",
    "https://127.1/",
    "https://2130706433/",
    "https://0x7f.0.0.1/",
    "https://0177.0.0.1/",
    "https://[::1]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[fe80::1%25eth0]/",
    "https://[api.example.com]/",
    "https://localhost/",
    "https://metadata.google.internal/",
    "https://api.example.com.127.0.0.1.nip.io/",
    "https://api%2eexample.com/",
    "https://%61pi.example.com/",
    "https://api.example.com%00.evil.test/",
    "https://api.example.com%23@evil.test/",
    "https://\u0430pi.example.com/",
    "https://api\u3002example.com/",
    "https://api.example\uff0ecom/",
    "https://\uff41pi.example.com/",
    "https://api.ex\u00adample.com/",
    "https://api.ex\u200bample.com/",
    "https://api..example.com/",
    "https://-api.example.com/",
    "https://api.example.com../",
    "https://api.example.com,evil.test/",
    "https://api.example.com;evil.test/",
    "https://api.example.com|evil.test/",
    "https://api.example.com/<script>",
    "https://api.example.com/%zz",
    "https://api.example.com/" + "a" * 9000,
]


@pytest.mark.parametrize("url", BAD)
def test_any_other_url_is_refused(url: str) -> None:
    verdict, canonical = HOSTS.check(url)
    assert verdict.blocked
    assert canonical is None
    assert "evil" not in repr(verdict)


@pytest.mark.parametrize("value", [None, 5, b"https://api.example.com/", ["https://api.example.com/"]])
def test_only_a_str_is_a_url(value: Any) -> None:
    assert HOSTS.check(value)[0].blocked


def test_other_schemes_and_ports_on_request() -> None:
    local = Arg.url(["api.example.com"], schemes=["http", "https"], ports=[8080, 443])
    assert local.check("http://api.example.com:8080/x")[1] == "http://api.example.com:8080/x"
    assert local.check("https://api.example.com/x")[1] == "https://api.example.com/x"
    assert local.check("http://api.example.com/x")[0].blocked


@given(st.text(st.sampled_from("htps:/api.exmlco@#?\\%[]0127 \t"), max_size=40))
def test_whatever_passes_is_read_by_urllib_as_an_allowed_host(rest: str) -> None:
    verdict, canonical = HOSTS.check(f"https://{rest}")
    if not verdict.blocked:
        assert urlsplit(canonical).hostname == "api.example.com"
        assert urlsplit(canonical).username is None


@given(st.sampled_from([url for url, _ in GOOD]), st.integers(0, 40), st.sampled_from("@\\#?/:.%[] \n\t\u3002"))
def test_one_character_put_into_a_good_url_never_changes_its_host(url: str, at: int, char: str) -> None:
    verdict, canonical = HOSTS.check(url[:at] + char + url[at:])
    if not verdict.blocked:
        host = urlsplit(canonical).hostname or ""
        assert host in ("api.example.com", "xn--bcher-kva.example") or host.endswith(".docs.example.org")


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (lambda: Arg.url("api.example.com"), "must be a list"),
        (lambda: Arg.url([]), "at least one"),
        (lambda: Arg.url(["https://api.example.com"]), "must be a host name"),
        (lambda: Arg.url(["api.example.com:443"]), "must be a host name"),
        (lambda: Arg.url(["127.0.0.1"]), "must be a host name"),
        (lambda: Arg.url(["localhost"]), "must be a host name"),
        (lambda: Arg.url(["*"]), "must be a host name"),
        (lambda: Arg.url(["*.com"]), "must be a host name"),
        (lambda: Arg.url(["api.*.example.com"]), "must be a host name"),
        (lambda: Arg.url(["b\u00fccher.example"]), "must be a host name"),
        (lambda: Arg.url(["api.example.com"], schemes=["javascript"]), "must be one of"),
        (lambda: Arg.url(["api.example.com"], ports=[0]), "must be a port"),
    ],
)
def test_bad_host_lists_fail_when_they_are_built(build: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        build()


def test_both_survive_pickling(root: Path) -> None:
    for scope in (Arg.path(root), HOSTS):
        assert pickle.loads(pickle.dumps(scope)) == scope
