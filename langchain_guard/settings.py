"""A guard's settings: what is wrong with them, in words, and what of them a dump or a repr can carry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import SecretBytes, SecretStr

from langchain_guard.errors import ConfigError

if TYPE_CHECKING:
    from pydantic import ValidationError


class Short:
    """A repr for what has none worth reading."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"<{self.name}>"


def holds_callable(value: Any) -> bool:
    """Whether a field's value has a part that no dump can carry."""
    if isinstance(value, dict):
        return any(map(holds_callable, value.values()))
    if isinstance(value, (list, tuple, set, frozenset)):
        return any(map(holds_callable, value))
    return callable(value) and not isinstance(value, type)


def config_error(cls: type, error: ValidationError) -> ConfigError:
    """Pydantic's findings in one line each: which argument, which value, what is allowed."""
    lines = []
    for found in error.errors(include_url=False):
        path = ".".join(str(part) for part in found["loc"])
        if found["type"] == "extra_forbidden":
            known = ", ".join(sorted(getattr(cls, "model_fields", {})))
            lines.append(f"{cls.__name__} has no argument {path!r}; it has {known}")
            continue
        field = getattr(cls, "model_fields", {}).get(str(found["loc"][0])) if found["loc"] else None
        secret = field is not None and any(kind.__name__ in str(field.annotation) for kind in (SecretStr, SecretBytes))
        shown = "" if secret or found["type"] == "missing" else f"={_brief(found.get('input'))}"
        lines.append(f"{cls.__name__}({path}{shown}): {found['msg'].removeprefix('Value error, ')}")
    return ConfigError("; ".join(lines))


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
