"""The tutorials run as their readers run them, and what they are recorded to have shown is what they show."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "docs"))

import tutorials  # noqa: E402

DATA = ROOT.parent / "shared" / "data"
NEEDS_DATA = {"stimulation_across_donors": "rucova_hnscc"}
OF_ANNDATA = {"anndata_and_scanpy"}
AFTER = {"reading_a_review": "fcs_to_fcs"}
"""The tutorial that another goes on from, in the same folder."""

NAMES = sorted((script.stem for script in tutorials.scripts()), key=lambda name: (AFTER.get(name, name), name in AFTER))


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    made: dict[str, Path] = {}

    def folder(name: str) -> Path:
        first = AFTER.get(name, name)
        return made.setdefault(first, tmp_path_factory.mktemp(first[:8]))

    return folder


@pytest.mark.bench
@pytest.mark.ray
@pytest.mark.parametrize("name", NAMES)
def test_a_tutorial_shows_what_is_recorded(name, folders, monkeypatch):
    if name in OF_ANNDATA and not find_spec("anndata"):
        pytest.skip("anndata is not installed here: make test-anndata")
    if name in NEEDS_DATA and not (DATA / NEEDS_DATA[name]).exists():
        pytest.skip(f"{NEEDS_DATA[name]}, public data that is no part of this project, is not at hand")
    monkeypatch.chdir(folders(name))
    monkeypatch.setenv("NEURONEDIT_DATA", str(DATA))
    for variable in [name for name in os.environ if name.startswith("RAY_")]:
        monkeypatch.delenv(variable)
    (script,) = (script for script in tutorials.scripts() if script.stem == name)
    shown = {
        f"{number:02}.{kind}"
        for number, output in tutorials.run(script)
        for kind, found in (("txt", output.text), ("png", output.figure))
        if found
    }
    assert shown == {path.name for path in (tutorials.RECORDED / name).iterdir()}


@pytest.mark.parametrize("name", NAMES)
def test_a_tutorial_is_a_page_with_its_text_code_and_record(name):
    (script,) = (script for script in tutorials.scripts() if script.stem == name)
    text = tutorials.page(script)
    assert text.startswith("# ")
    assert "```python" in text
    assert "```text" in text, "record it: python docs/tutorials.py NAME FOLDER"
    code = {f"{number:02}" for number, cell in enumerate(tutorials.cells(script)) if not cell.is_text}
    assert {path.stem for path in (tutorials.RECORDED / name).iterdir()} <= code, "record it again: its cells moved"
    assert text.count("![") == len([*(tutorials.RECORDED / name).glob("*.png")])
    listed = (tutorials.HERE / "index.md").read_text(encoding="utf-8").split()
    assert name in listed
