"""Arrows point jobs → adapters → core."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "neuronedit"
ADAPTERS = PACKAGE / "adapters"

FOR_ADAPTERS_ONLY = {"ray", "mlflow", "pyarrow", "flowio"}

ALL = sorted(PACKAGE.glob("**/*.py"))
CORE = [path for path in ALL if ADAPTERS not in path.parents]
JOBS = sorted((ROOT / "jobs").glob("*.py"))


def imported(path: Path) -> Iterator[str]:
    """Every module that a file imports, wherever in it the import stands."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; write the full name"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imported_packages(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in imported(path)}


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def names(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


@pytest.mark.parametrize("path", CORE, ids=names(CORE))
def test_the_core_imports_neither_adapters_nor_what_they_adapt(path):
    assert not imported_packages(path) & FOR_ADAPTERS_ONLY
    assert not [name for name in imported(path) if name.startswith("neuronedit.adapters")]


@pytest.mark.parametrize("path", ALL, ids=names(ALL))
def test_the_package_never_imports_the_jobs(path):
    assert not imported_packages(path) & {"neuronedit_jobs"}


@pytest.mark.parametrize("path", JOBS, ids=names(JOBS))
def test_jobs_import_nothing_but_neuronedit_and_what_describes_their_settings(path):
    others = imported_packages(path) - {"neuronedit", "neuronedit_jobs", "pydantic", "click"} - sys.stdlib_module_names
    assert not others


def test_the_core_works_where_the_adapted_libraries_are_not_installed():
    # None in sys.modules makes an import fail as if nothing were installed. Without it, pandas would
    # import pyarrow by itself where it can.
    script = f"""
import importlib, sys
forbidden = {sorted(FOR_ADAPTERS_ONLY)}
for name in forbidden:
    sys.modules[name] = None
for name in {[module_name(path) for path in CORE]}:
    importlib.import_module(name)
assert not [name for name in sys.modules if name.partition(".")[0] in forbidden and sys.modules[name]]
assert not [name for name in sys.modules if name.startswith("neuronedit.adapters")]
"""
    finished = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert finished.returncode == 0, finished.stderr
