"""Every Python example that a reader can copy runs: the README's, and those of the docstrings."""

from __future__ import annotations

import ast
import doctest
import importlib
import re
import textwrap
from pathlib import Path

import pytest
from langchain_core.prompts import ChatPromptTemplate

import langchain_guard
from langchain_guard import cli
from langchain_guard.testing import ScriptedChatModel

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
PACKAGE = Path(langchain_guard.__file__).parent

FENCE = re.compile(r"^(?P<indent> *)```python\n(?P<code>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)
DEMO = (
    "python3 -m venv --without-pip .venv && python3 -m pip --python .venv/bin/python install -q . "
    "&& .venv/bin/python -m langchain_guard"
)
TEST = (
    "python3 -m venv --without-pip .venv && python3 -m pip --python .venv/bin/python install -q '.[test]' "
    "&& .venv/bin/python -m pytest -q"
)


def _blocks(text: str) -> list[str]:
    return [textwrap.dedent(match["code"]) for match in FENCE.finditer(text)]


def _docstring_blocks() -> list[tuple[str, str]]:
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                name = f"{path.relative_to(PACKAGE)}:{getattr(node, 'name', 'module')}"
                found += [(f"{name}:{n}", code) for n, code in enumerate(_blocks(ast.get_docstring(node) or ""))]
    return found


def test_readme_runs_from_top_to_bottom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one namespace, as in a notebook: a later block may use what an earlier one built."""
    monkeypatch.chdir(tmp_path)
    blocks = _blocks(README)
    assert blocks
    space: dict[str, object] = {"__name__": "readme"}
    for number, code in enumerate(blocks, 1):
        exec(compile(code, f"README.md block {number}", "exec"), space)


def _given() -> dict[str, object]:
    """What a docstring's block may use without saying where it comes from."""
    model = ScriptedChatModel("Refunds are paid within five days.")
    prompt = ChatPromptTemplate.from_template("Answer in one line: {question}")
    public = {name: getattr(langchain_guard, name) for name in langchain_guard.__all__}
    return {"__name__": "example", **public, "model": model, "prompt": prompt, "chain": prompt | model}


@pytest.mark.parametrize(("name", "code"), _docstring_blocks(), ids=lambda value: value if "\n" not in value else "")
def test_docstring_block_runs(name: str, code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(code, name, "exec"), _given())


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_docstring_session_shows_what_happens(path: Path) -> None:
    text = path.read_text("utf-8")
    if ">>>" not in text:
        return
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    module = importlib.import_module(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    result = doctest.testmod(module)
    assert result.attempted
    assert result.failed == 0


def test_the_two_commands_are_in_the_readme() -> None:
    assert DEMO in README
    assert TEST in README
    gate = ROOT / ".ci" / "run"
    assert TEST in gate.read_text("utf-8")


def test_the_readme_names_every_command() -> None:
    commands = re.findall(r'add_parser\("(\w+)"', Path(cli.__file__).read_text("utf-8"))
    assert commands == ["demo", "scan", "evaluate", "train"]
    assert [c for c in commands if f"python -m langchain_guard {c}" not in README] == []


def test_what_the_readme_points_to_exists() -> None:
    prose = re.sub(r"^```.*?^```$", "", README, flags=re.MULTILINE | re.DOTALL)
    links = re.findall(r"\]\(([^)\s]+)\)", prose)
    headings = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    anchors = {"#" + re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
    files = {link for link in links if not link.startswith(("#", "https://"))}
    files |= set(re.findall(r"`((?:tests|notebooks|langchain_guard)/[^`*]+)`", prose))
    assert len(files) > 20
    assert [link for link in links if link.startswith("#") and link not in anchors] == []
    assert [name for name in sorted(files) if not (ROOT / name).exists()] == []


def test_no_cell_of_a_table_shows_a_backslash() -> None:
    """In a table a bar inside code is written with one backslash; a second one would be shown."""
    assert re.findall(r"^\|.*\\\\\|.*$", README, re.MULTILINE) == []
