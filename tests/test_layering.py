"""Imports point from jobs to adapters to core, and the core knows no platform."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PLATFORM = {"ray", "mlflow", "pyarrow", "flowio"}
CORE = sorted(path for path in (ROOT / "neuronedit").rglob("*.py") if "adapters" not in path.parts)
ADAPTERS = sorted((ROOT / "neuronedit" / "adapters").glob("*.py"))


def imported(path: Path) -> set[str]:
    """Every module that a file names in an import, at the top or inside a function."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def test_there_is_a_core_to_look_at() -> None:
    assert len(CORE) > 15
    assert len(ADAPTERS) > 8


@pytest.mark.parametrize("path", CORE, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_core_imports_no_platform_and_no_adapter(path: Path) -> None:
    names = imported(path)
    assert not {name for name in names if name.split(".")[0] in PLATFORM}
    assert not {name for name in names if name.startswith("neuronedit.adapters")}


@pytest.mark.parametrize("path", [*CORE, *ADAPTERS], ids=lambda path: str(path.relative_to(ROOT)))
def test_the_package_imports_no_job(path: Path) -> None:
    assert not {name for name in imported(path) if name.split(".")[0] in ("jobs", "neuronedit_jobs")}


def test_importing_the_core_loads_no_platform() -> None:
    loaded = PLATFORM - {"pyarrow"}  # pandas imports it
    modules = [".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in CORE]
    program = f"import sys, {', '.join(modules)}\nprint(sorted({loaded} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
