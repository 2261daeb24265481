"""Examples in docstrings run, and the front door has one for every name."""

import doctest
import importlib
import inspect
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import neuronedit

PUBLIC = [name for name in neuronedit.__all__ if name != "__version__"]
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
FINDER = doctest.DocTestFinder(exclude_empty=True)


def run_examples(found: list[doctest.DocTest]) -> list[str]:
    """What goes wrong in the examples."""
    said: list[str] = []
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    for test in found:
        runner.run(test, out=said.append)
    return said


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_has_an_example_that_runs(name: str) -> None:
    public = getattr(neuronedit, name)
    found = FINDER.find(public, name, globs=vars(importlib.import_module(public.__module__)).copy())
    assert any(test.examples for test in found), f"{name} has no example: write one into its docstring"
    assert not run_examples(found)


def test_the_packages_own_example_runs() -> None:
    assert neuronedit.__doc__
    test = doctest.DocTestParser().get_doctest(neuronedit.__doc__, {}, "neuronedit", None, None)
    assert test.examples
    assert not run_examples([test])


def test_importing_the_package_imports_no_torch_and_knows_its_names() -> None:
    script = (
        "import sys, neuronedit; assert set(neuronedit.__all__) <= set(dir(neuronedit)); "
        "assert not {'torch', 'pandas', 'numpy'} & set(sys.modules)"
    )
    finished = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr


def test_a_name_that_is_not_there_is_told() -> None:
    with pytest.raises(AttributeError, match=r"^module 'neuronedit' has no attribute 'fit_models'$"):
        neuronedit.fit_models  # noqa: B018


ROOT = Path(neuronedit.__file__).parent


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


WITH_EXAMPLES = sorted(module_name(path) for path in ROOT.rglob("*.py") if ">>> " in path.read_text(encoding="utf-8"))

OF_ANNDATA = "neuronedit.anndata"
"""Its examples need anndata; where that is not installed, ``make test-anndata`` runs them."""


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples_show_what_the_code_gives(name):
    if name == OF_ANNDATA:
        pytest.importorskip("anndata", reason="anndata is not installed here: make test-anndata")
    outcome = doctest.testmod(importlib.import_module(name), optionflags=FLAGS)
    assert outcome.attempted
    assert not outcome.failed, f"{outcome.failed} of {outcome.attempted} examples differ: see the captured output"


MACHINERY = ROOT / "adapters"
"""The jobs' machinery, no library interface but for ``EventEditor``."""

LIBRARY = sorted(
    module_name(path) for path in ROOT.rglob("*.py") if MACHINERY not in path.parents and path.name != "__init__.py"
)


def public_functions(module: ModuleType) -> list[str]:
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and inspect.isfunction(inspect.unwrap(value))
        and value.__module__ == module.__name__
    ]


def test_every_public_function_of_the_library_has_an_example():
    without = []
    for name in LIBRARY:
        module = importlib.import_module(name)
        shown = {test.name for test in FINDER.find(module) if test.examples}
        without += [f"{name}.{each}" for each in public_functions(module) if f"{name}.{each}" not in shown]
    assert not without, f"write an example into each docstring, or a leading underscore: {', '.join(without)}"


def test_the_one_interface_of_the_adapters_has_an_example():
    name = "neuronedit.adapters.transform.event_editor"
    assert any(test.examples for test in FINDER.find(importlib.import_module(name).EventEditor, "EventEditor"))
    assert name in WITH_EXAMPLES, "or the example does not run"
