"""Sphinx extension: every message that neuronedit has for its user, with its cause and remedy, read from the code."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neuronedit import errors

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ("neuronedit", "jobs")
PAGE = "errors.md"

HEAD = """# Errors

Whatever a user can mend is told in one message that says what was expected, what was found, where, and what to do; the
exit status is 2, and nothing is half-written. Anything else is an error of the program, with a traceback and status 1:
please report it. Below stands every such message, read from the code when these pages are built; `…` is a name, a
number or a path.

In Python they are exceptions of `neuronedit.errors`; a `NeuronEdit` raises the same messages as `ValueError`.
"""


@dataclass(frozen=True)
class Message:
    """A message: what is wrong, and what to do."""

    kind: str
    cause: str
    remedy: str


def kinds() -> dict[str, str]:
    """The exceptions that users see, with what each is about."""
    found = vars(errors).items()
    own = {name: kind for name, kind in found if isinstance(kind, type) and issubclass(kind, errors.NeuroneditError)}
    return {name: (kind.__doc__ or "").splitlines()[0] for name, kind in own.items()}


def messages(path: Path, known: dict[str, str]) -> Iterator[Message]:
    """The messages of one module, in the order in which they stand there."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and getattr(node.func, "id", None) in known and node.args:
            text = " ".join(_template(node.args[0]).split())
            if re.search("[a-z]{3}", text):  # others were made elsewhere, as a whole
                yield Message(node.func.id, *_parted(text))


def _template(node: ast.expr) -> str:
    """A message's text, with … for what is only known when it is raised."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(map(_template, node.values))
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _template(node.left) + _template(node.right)
    return "…"


def _parted(text: str) -> tuple[str, str]:
    """What is wrong, and what to do: the last sentence, in the imperative."""
    sentences = re.split(r"(?<=[.)])\s+(?=[A-Z…])", text)
    return (" ".join(sentences[:-1]), sentences[-1]) if len(sentences) > 1 else (text, "")


def page() -> str:
    """The whole page."""
    known = kinds()
    found: dict[str, dict[Message, None]] = {kind: {} for kind in known}
    for source in SOURCES:
        for path in sorted((ROOT / source).rglob("*.py")):
            for message in messages(path, known):
                found[message.kind][message] = None
    parts = [HEAD]
    for kind, listed in found.items():
        if listed:
            rows = [f"| {_cell(message.cause)} | {_cell(message.remedy)} |" for message in listed]
            parts.append(
                "\n".join([f"## {kind}", "", known[kind], "", "| message | what to do |", "| --- | --- |", *rows])
            )
    return "\n\n".join(parts) + "\n"


def _cell(text: str) -> str:
    return re.sub(r"([|\\`*_<>{}\[\]$])", r"\\\1", text)


def setup(app: Any) -> dict[str, bool]:
    """Write the page before Sphinx looks for it."""
    app.connect("config-inited", _write)
    return {"parallel_read_safe": True}


def _write(app: Any, config: Any) -> None:
    target, text = Path(app.srcdir, "reference", PAGE), page()
    if not target.exists() or target.read_text(encoding="utf-8") != text:
        target.write_text(text, encoding="utf-8")
