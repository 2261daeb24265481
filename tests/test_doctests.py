"""Every example in a docstring gives the result that it shows."""

import doctest
import importlib
from pathlib import Path

import pytest

import neuronedit

ROOT = Path(neuronedit.__file__).parent
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


WITH_EXAMPLES = sorted(module_name(path) for path in ROOT.rglob("*.py") if ">>> " in path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples_show_what_the_code_gives(name):
    outcome = doctest.testmod(importlib.import_module(name), optionflags=FLAGS)
    assert outcome.attempted
    assert not outcome.failed, f"{outcome.failed} of {outcome.attempted} examples differ: see the captured output"
