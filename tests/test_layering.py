"""Imports point down: from jobs to adapters to the core, and in the core from floor to floor; one test per folder."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "neuronedit"

FLOORS = (
    ("",),  # arrays, errors, config
    ("cells",),
    ("measures",),
    ("network",),
    ("edits/operators",),
    ("edits/mix",),
    ("edits/students",),
    ("edits",),
    ("model/pipeline",),
    ("model",),
    ("model/quality",),
    ("model/saved",),
    ("fitting", "review"),
    ("estimator",),
    ("review/neurons", "review/transfer"),
    ("review/labels", "review/populations", "review/stability"),
    ("review/cytometry",),
    ("review/page",),
    ("review/compare",),
    ("adapters/files", "adapters/cluster"),
    ("adapters/fcs",),
    ("adapters/h5ad", "adapters/sampling", "adapters/transform"),
    ("adapters/training", "adapters/registry", "adapters/export", "adapters/ingest"),
    ("adapters/normalise",),
)
"""Folders of the package, the lowest first; a folder imports itself and lower floors."""

FLOOR = {folder: number for number, floor in enumerate(FLOORS) for folder in floor}

FOR_ADAPTERS_ONLY = {"click", "mlflow", "psutil", "pyarrow", "ray", "sqlalchemy", "tqdm"}
"""What only the extra ``jobs`` installs."""

FRONT_DOORS = (PACKAGE / "__init__.py", PACKAGE / "anndata.py")
"""The table of contents, and what users of AnnData import: they may name any room of the core."""

MAX_MODULES, MAX_ROOMS, MAX_LINES = 12, 12, 300

MIN_LINES = 60
"""A module is a reason to open a file: a shorter one needs two importers."""


def modules_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.py") if path.name != "__init__.py")


def imported(path: Path) -> Iterator[str]:
    """Every module that a file imports, wherever in it the import stands."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield from (f"{module}.{alias.name}" for alias in node.names)


def folder_of(name: str) -> str | None:
    """The package's folder that an imported name lies in; None for other packages, "" for the package's own modules."""
    parts = name.split(".")
    if parts[0] != "neuronedit":
        return None
    folder = PACKAGE
    for part in parts[1:]:
        if not (folder / part).is_dir():
            break
        folder /= part
    return folder.relative_to(PACKAGE).as_posix().removeprefix(".")


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def test_every_folder_has_its_floor():
    found = {path.parent.relative_to(PACKAGE).as_posix().removeprefix(".") for path in PACKAGE.glob("**/*.py")}
    assert found - {"adapters"} == set(FLOOR)
    assert not modules_in(PACKAGE / "adapters"), "a module of adapters belongs into one of its folders"


@pytest.mark.parametrize("folder", FLOOR)
def test_a_folder_imports_only_itself_and_lower_floors(folder):
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in (PACKAGE / folder).glob("*.py")
        if path not in FRONT_DOORS
        for name in imported(path)
        if (other := folder_of(name)) not in (None, folder) and FLOOR.get(other, len(FLOORS)) >= FLOOR[folder]
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("folder", FLOOR)
def test_only_adapters_import_what_they_adapt_and_nothing_imports_jobs(folder):
    forbidden = {"jobs"} | (set() if folder.startswith("adapters") else FOR_ADAPTERS_ONLY)
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in (PACKAGE / folder).glob("*.py")
        for name in imported(path)
        if name.partition(".")[0] in forbidden or name.startswith("neuronedit.jobs")
    ]
    assert not wrong, "\n".join(wrong)


def test_imports_are_written_with_the_full_name():
    relative = [
        str(path.relative_to(ROOT))
        for path in PACKAGE.glob("**/*.py")
        if any(name.startswith(".") for name in imported(path))
    ]
    assert not relative


def test_rooms_can_be_seen_at_a_glance():
    rooms = {folder.partition("/")[0] for folder in FLOOR if folder}
    assert len(rooms) + len({*modules_in(PACKAGE)} - {*FRONT_DOORS}) <= MAX_ROOMS
    crowded = {folder: n for folder in FLOOR if (n := len(modules_in(PACKAGE / folder))) > MAX_MODULES}
    assert not crowded


def test_modules_are_one_noun_each():
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for path in PACKAGE.glob("**/*.py")
    }
    long = {name: n for name, n in lengths.items() if n > MAX_LINES}
    assert not long


def test_a_short_module_has_two_importers():
    sources = [
        path for folder in (PACKAGE, ROOT / "jobs") for path in folder.glob("**/*.py") if path not in FRONT_DOORS
    ]
    imports = [set(imported(path)) | {name.rpartition(".")[0] for name in imported(path)} for path in sources]
    modules = [path for path in sources if path.is_relative_to(PACKAGE) and path.name != "__init__.py"]
    short = [path for path in modules if len(path.read_text(encoding="utf-8").splitlines()) < MIN_LINES]
    alone = [name for name in map(module_name, short) if sum(name in found for found in imports) < 2]
    assert not alone, "put each into the module that imports it"


def test_the_core_works_where_the_adapted_libraries_are_not_installed():
    core = [
        path
        for path in PACKAGE.glob("**/*.py")
        if PACKAGE / "adapters" not in path.parents and path.name != "__init__.py"
    ]
    # None in sys.modules makes an import fail as if nothing were installed. Without it, pandas would
    # import pyarrow by itself where it can.
    script = f"""
import importlib, sys
forbidden = {sorted(FOR_ADAPTERS_ONLY)}
for name in forbidden:
    sys.modules[name] = None
for name in {[module_name(path) for path in core]}:
    importlib.import_module(name)
assert not [name for name in sys.modules if name.partition(".")[0] in forbidden and sys.modules[name]]
assert not [name for name in sys.modules if name.startswith("neuronedit.adapters")]
"""
    finished = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert finished.returncode == 0, finished.stderr
