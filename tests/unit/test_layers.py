"""The package's inner order: who may import whom, and what an import must not load."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

import langchain_guard

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(langchain_guard.__file__).parent
SLICES = ("rate_limit", "injection", "scrub", "tool_scope")

# The only modules that know LangChain; every other one is a plain policy, also one that is added tomorrow.
SHELL = {
    "around",
    "settings",
    "values",
    "events",
    "run",
    "runnable",
    "text",
    "chunks",
    "seam",
    "model",
    "sources",
    "wrap",
    "refusal",
}
KNOW_LANGCHAIN = SHELL | {
    "testing.model",
    "agents",
    "agents.middleware",
    "agents.results",
    "demo",
    "logs",
    "injection.guard",
    "injection.judge",
    "injection.spotlight",
    "rate_limit.batch",
    "rate_limit.by_hand",
    "rate_limit.guard",
    "rate_limit.session",
    "rate_limit.settings",
    "rate_limit.usage",
    "scrub.guard",
    "scrub.vault",
    "tool_scope.admission",
    "tool_scope.calls",
    "tool_scope.guard",
    "tool_scope.link",
    "tool_scope.provenance",
    "tool_scope.schema",
    "tool_scope.wrap",
}

# Who may name an optional or heavy package: a module, or a whole slice.
ONLY_IN = {
    "redis": {"rate_limit.connection"},
    "langchain_openai": {"injection.judge", "demo"},
    "openai": set(),
    "sqlglot": {"tool_scope"},
    "phonenumbers": {"scrub"},
    "stdnum": {"scrub"},
    "numpy": {"injection"},
    "sklearn": {"injection"},
    "tokenizers": {"injection"},
    "torch": {"injection"},
    "langchain": {"agents"},
    "langgraph": {"agents", "tool_scope"},
}


class Import(NamedTuple):
    target: str
    when: str  # "import": at import time; "call": inside a function; "typing": only for the type checker


def _module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {_module(path): path for path in sorted(ROOT.rglob("*.py"))}


def _imports(node: ast.AST, when: str = "import") -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (Import(alias.name, when) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, "imports are absolute"
            for alias in child.names:
                inside = f"{child.module}.{alias.name}"
                is_module = inside.removeprefix("langchain_guard.") in MODULES and inside.startswith("langchain_guard.")
                yield Import(inside if is_module else str(child.module), when)
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            yield from _imports(ast.Module(child.body, []), "typing")
            yield from _imports(ast.Module(child.orelse, []), when)
        else:
            inner = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from _imports(child, "call" if inner and when == "import" else when)


IMPORTS = {name: list(_imports(ast.parse(path.read_text("utf-8")))) for name, path in MODULES.items()}


def _own(name: str, *whens: str) -> set[str]:
    """The package's own modules that a module imports; "" is the package itself."""
    own = (
        i.target.partition(".")[2] for i in IMPORTS[name] if _head(i.target) == "langchain_guard" and i.when in whens
    )
    return set(own)


def _head(name: str) -> str:
    return name.partition(".")[0]


def _slice(name: str) -> str | None:
    return _head(name) if _head(name) in SLICES else None


@pytest.mark.parametrize("name", MODULES)
def test_only_the_shell_and_the_guards_know_langchain(name: str) -> None:
    named = {
        i.target for i in IMPORTS[name] if _head(i.target) in {"langchain_core", "langsmith"} and i.when != "typing"
    }
    assert not named or {name, _head(name)} & KNOW_LANGCHAIN


@pytest.mark.parametrize("name", MODULES)
def test_slices_never_import_each_other(name: str) -> None:
    others = {target for target in _own(name, "import", "call", "typing") if _slice(target) not in {None, _slice(name)}}
    assert not others or _slice(name) is None


@pytest.mark.parametrize(
    "name", [n for n in MODULES if n in SHELL | {"errors", "verdict", "identity", "streaming", "policy", "patterns"}]
)
def test_what_is_shared_imports_no_slice(name: str) -> None:
    assert not {target for target in _own(name, "import", "call", "typing") if _slice(target)}


@pytest.mark.parametrize("name", [name for name in MODULES if _slice(name) and name not in KNOW_LANGCHAIN])
def test_policies_do_not_import_the_shell(name: str) -> None:
    assert not _own(name, "import", "call") & SHELL - {"events"}


@pytest.mark.parametrize(
    "name", [name for name in MODULES if name not in {"", "__main__", "cli", "demo", "evaluation"}]
)
def test_nothing_imports_the_package_itself_or_its_entry_points(name: str) -> None:
    targets = _own(name, "import", "call")
    assert not targets & {"", "demo", "cli", "__main__"}
    assert not {t for t in targets if _head(t) == "testing"} or _head(name) == "testing"


def test_no_import_goes_in_a_circle() -> None:
    packages = {name for name, path in MODULES.items() if path.name == "__init__.py"}
    graph = {name: {t for t in _own(name, "import") if t in MODULES and t not in packages} for name in MODULES}
    assert len(list(TopologicalSorter(graph).static_order())) == len(MODULES)


def _loaded_with(name: str) -> set[str]:
    """The modules that importing a module loads, itself and its packages included."""
    loaded, todo = set(), [name]
    while todo:
        module = todo.pop()
        if module in MODULES and module not in loaded:
            loaded.add(module)
            todo += [*_own(module, "import"), module.rpartition(".")[0]]
    return loaded


# Importing the package, and naming each of its guards.
LOADED = set().union(*(_loaded_with(name) for name in ("", *SLICES)))


@pytest.mark.parametrize("name", MODULES)
def test_heavy_packages_are_named_in_one_place_and_loaded_late(name: str) -> None:
    for imported in IMPORTS[name]:
        package = _head(imported.target)
        if package in ONLY_IN and imported.when != "typing":
            assert {name, _head(name)} & ONLY_IN[package], f"{name} names {package}"
            assert imported.when == "call" or name not in LOADED, (
                f"importing the package loads {name}, and it {package}"
            )


HEAVY = sorted(
    {*ONLY_IN, "scipy", "pandas", "matplotlib", "torch", "transformers", "tokenizers", "onnxruntime", "tiktoken"}
)


@pytest.mark.parametrize(
    "code",
    [
        "import langchain_guard",
        "import langchain_guard.testing",
        "from langchain_guard import *; RateLimiter('20/minute'), InjectionDetector(), OutputScrubber(), ToolScope({})",
    ],
    ids=["package", "testing", "construction"],
)
def test_import_and_construction_load_nothing_heavy(code: str) -> None:
    script = f"import sys\n{code}\nprint(*[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.split() == []


def test_this_test_sees_what_it_looks_for() -> None:
    """The reader of imports finds each kind, or the tests above could not fail."""
    tree = ast.parse(
        "import a.b\nfrom langchain_guard import verdict\nif TYPE_CHECKING:\n  import c\n"
        "def f():\n  from d import e\nclass C:\n  import g\n  def m(self): import h"
    )
    assert list(_imports(tree)) == [
        Import("a.b", "import"),
        Import("langchain_guard.verdict", "import"),
        Import("c", "typing"),
        Import("d", "call"),
        Import("g", "import"),
        Import("h", "call"),
    ]
