"""README and docs/ name what is there, and the generated reference leaves nothing out."""

import re
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel, Field

import neuronedit

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
LINK = re.compile(r"\]\(([^)\s]+)\)")
MAKE = re.compile(r"(?:`| {4})make ([a-z][a-z-]*)")
IMPORT = re.compile(r"^from (neuronedit[\w.]*) import (\w+)", re.MULTILINE)
FRONT_DOOR = re.compile(r"\bneuronedit\.([a-z]\w+)\(")


sys.path.append(str(DOCS))  # where Sphinx finds them, too

import error_catalogue  # noqa: E402
import job_reference as reference  # noqa: E402
import tutorials  # noqa: E402

JOBS = {job.name: job for job in reference.find_jobs()}
GENERATED = {DOCS / "reference" / name for name in (*reference.PAGES, error_catalogue.PAGE)}
GENERATED |= {script.with_suffix(".md") for script in tutorials.scripts()}
PAGES = sorted({ROOT / "README.md", ROOT / "cluster" / "README.md", *DOCS.glob("**/*.md")} - GENERATED)
WITH_SETTINGS = [name for name, job in JOBS.items() if job.config is not None]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("docs") / "reference"
    reference.write_reference(folder)
    return {name: (folder / name).read_text(encoding="utf-8") for name in reference.PAGES}


def rows(page: str, job: str) -> dict[str, list[list[str]]]:
    """A job's rows of the settings page, as a reader sees them, by key: a key of two designs has two."""
    (part,) = re.findall(rf"^## {job}\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    found: dict[str, list[list[str]]] = {}
    for line in re.findall(r"^\| `.*\|$", part, re.MULTILINE):
        key, *cells = [re.sub(r"\\(.)", r"\1", cell) for cell in re.split(r"(?<!\\) ?\| ?", line)[1:-1]]
        found.setdefault(key.strip("`"), []).append(cells)
    return found


def declared(config: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Every key of a configuration with its description, sections and what is within them."""
    for name, field in config.model_fields.items():
        assert field.description, f"{prefix}{name} has no description"
        key = f"{prefix}{field.alias or name}"
        yield key, field.description
        for section in sections_of(field.annotation):
            yield from declared(section, f"{key}.")


def sections_of(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [section for part in get_args(annotation) for section in sections_of(part)]


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def outside_code(text: str) -> str:
    return re.sub(r"```.*?```", "", text, flags=re.DOTALL)


def test_every_job_is_found_and_those_that_only_look_at_files_have_no_settings():
    assert set(JOBS) - set(WITH_SETTINGS) == {"channels", "log", "verify", "lineage"}
    assert {"ingest", "train", "update", "review", "transform", "evaluate", "combine"} <= set(WITH_SETTINGS)


@pytest.mark.parametrize("job", WITH_SETTINGS)
def test_every_setting_of_a_job_stands_in_the_reference_with_its_description(pages, job):
    shown = rows(pages["settings.md"], job)
    config = JOBS[job].config
    assert config is not None
    wanted = list(declared(config))
    assert [(key, text) for key, text in wanted if text not in [cells[-1] for cells in shown.get(key, [])]] == []
    assert set(shown) == {key for key, _ in wanted}


@pytest.mark.parametrize("job", JOBS)
def test_every_job_stands_in_the_reference_with_its_usage_and_description(pages, job):
    assert f"\n## {job}\n\n    neuronedit {job} " in pages["cli.md"]
    assert JOBS[job].description


def test_types_bounds_and_defaults_are_shown_as_a_user_writes_them(pages):
    train, review = rows(pages["settings.md"], "train"), rows(pages["settings.md"], "review")
    assert train["data.path"][0][:2] == ["text", "*required*"]
    assert train["edit.n_percentiles"][0][:2] == ["integer ≥ 3", "`101`"]
    assert train["training.validation_fraction"][0][:2] == ["number > 0, < 0.5", "`0.1`"]
    assert train["training.patience"][0][:2] == ["integer ≥ 1", "unset"]
    assert train["autoencoder.hidden"][0][:2] == ["list of (integer > 0)", "`[200, 100]`"]
    assert train["design.kind"] == [
        ['`"pair"`', "*required*", "one source and one target population"],
        ['`"controls"`', "*required*", "one edit for each batch that has a control"],
    ]
    assert review["sample.events_per_population"][0][1] == "`5000`", "the review's own default, not the section's"


def test_a_description_with_markdown_signs_is_shown_as_it_is():
    class Odd(BaseModel):
        key: str = Field("", description="a | b, *c*, _d_, {e = [1]}, $HOME")

    job = reference.Job("odd", "", "", "", Odd)
    assert rows(reference.settings_page([job]), "odd")["key"][0][-1] == "a | b, *c*, _d_, {e = [1]}, $HOME"


def test_pages_that_would_not_change_are_left_alone(tmp_path):
    reference.write_reference(tmp_path)
    before = [(tmp_path / name).stat().st_mtime_ns for name in reference.PAGES]
    reference.write_reference(tmp_path)
    assert [(tmp_path / name).stat().st_mtime_ns for name in reference.PAGES] == before


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page):
    links = [link.partition("#")[0] for link in LINK.findall(outside_code(text_of(page))) if "://" not in link]
    missing = [link for link in links if link and not (page.parent / link).exists()]
    assert [link for link in missing if (page.parent / link).resolve() not in GENERATED] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_make_target_that_a_page_names_exists(page):
    targets = set(re.findall(r"^([a-z][a-z-]*):", text_of(ROOT / "Makefile"), re.MULTILINE))
    assert set(MAKE.findall(text_of(page))) <= targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_module_that_a_page_imports_from_exists(page):
    for module, name in IMPORT.findall(text_of(page)):
        found = hasattr(import_module(module), name) or find_spec(f"{module}.{name}")
        assert found, f"{page.name}: {module} has no {name}"


@pytest.mark.skipif(not hasattr(neuronedit, "__all__"), reason="the package names no public functions yet")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_public_function_that_a_page_calls_exists(page):
    assert {name for name in FRONT_DOOR.findall(text_of(page)) if not hasattr(neuronedit, name)} == set()


def test_the_readme_is_one_page():
    assert len(text_of(ROOT / "README.md").splitlines()) <= 150


def test_every_page_is_in_a_table_of_contents():
    listed = {
        str((index.parent / line).relative_to(DOCS))
        for index in (DOCS / "index.md", DOCS / "tutorials" / "index.md")
        for block in re.findall(r"```{toctree}\n(.*?)```", text_of(index), re.DOTALL)
        for line in block.split()
    }
    pages = {str(page.relative_to(DOCS).with_suffix("")) for page in {*DOCS.glob("**/*.md"), *GENERATED}}
    assert pages - {"index"} <= listed


def test_every_message_for_users_stands_in_the_catalogue_and_nearly_all_say_what_to_do():
    known = error_catalogue.kinds()
    source = ROOT / "neuronedit" / "cells" / "panel.py"
    found = [*error_catalogue.messages(source, known)]
    missing = next(message for message in found if "is missing" in message.cause or "missing" in message.cause)
    assert missing.kind == "PanelError"
    assert missing.remedy == "Rename the column, or train a model on a panel without the marker."
    listed = re.findall(r"^\| (?!message |---)(.*) \| (.*) \|$", error_catalogue.page(), re.MULTILINE)
    assert len(listed) > 300
    assert sum(bool(remedy) for _, remedy in listed) > 0.9 * len(listed)
    assert {"ConfigError", "PanelError", "DataError", "ModelError", "OutputError", "StorageError"} <= set(
        re.findall(r"^## (\w+)$", error_catalogue.page(), re.MULTILINE)
    )
