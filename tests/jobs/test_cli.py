import sys
from collections.abc import Iterator

import pytest

import neuronedit
from jobs import cli, train, transform
from jobs.train import TrainConfig
from jobs.transform import TransformConfig
from neuronedit.config import Config
from tests.jobs.conftest import ROOT, Command

# What the installed console script does; the first line stands for the installation, which maps jobs/ to its name.
CONSOLE = (
    "import importlib.util as u, sys; "
    f"s = u.spec_from_file_location('neuronedit_jobs', '{ROOT}/jobs/__init__.py', "
    f"submodule_search_locations=['{ROOT}/jobs']); "
    "m = u.module_from_spec(s); sys.modules['neuronedit_jobs'] = m; s.loader.exec_module(m); "
    "from neuronedit_jobs.cli import main; raise SystemExit(main())"
)


def keys(config: type[Config]) -> Iterator[str]:
    """Every section.key of a configuration, found by its own way through the schema."""
    schema = config.model_json_schema()
    yield from _keys(schema, schema["$defs"], "")


def _keys(node: dict, definitions: dict, prefix: str) -> Iterator[str]:
    for name, field in node.get("properties", {}).items():
        yield f"{prefix}{name}"
        for part in (field, field.get("items", {}), *field.get("anyOf", []), *field.get("oneOf", [])):
            if "$ref" in part:
                yield from _keys(definitions[part["$ref"].rpartition("/")[2]], definitions, f"{prefix}{name}.")


def run_here(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["neuronedit", *arguments])
    return cli.main()


def test_without_arguments_the_usage_is_shown_with_status_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_here(monkeypatch) == 2
    assert capsys.readouterr().out.startswith("usage: neuronedit JOB CONFIG.toml")


def test_help_lists_every_job(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_here(monkeypatch, "--help") == 0
    usage = capsys.readouterr().out
    assert all(f"\n  {job} " in usage for job in ("ingest", "train", "transform", "review", "evaluate", "combine"))


def test_the_version_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_here(monkeypatch, "--version") == 0
    assert capsys.readouterr().out == f"neuronedit {neuronedit.__version__}\n"


def test_an_unknown_job_is_told_with_status_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_here(monkeypatch, "trian") == 2
    assert capsys.readouterr().err.startswith("neuronedit: there is no job 'trian'\nusage: ")


def listed_keys(text: str) -> set[str]:
    return {line.split()[0] for line in text.splitlines() if line.startswith("  ")}


def test_the_console_scripts_help_lists_every_key_of_train(command: Command) -> None:
    done = command("-c", CONSOLE, "train", "--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: neuronedit train ")
    assert set(keys(TrainConfig)) <= listed_keys(done.stdout)


def test_the_help_of_transform_lists_every_key(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        transform.main(["--help"])
    assert stopped.value.code == 0
    assert set(keys(TransformConfig)) <= listed_keys(capsys.readouterr().out)


def test_a_missing_configuration_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert train.main(["nowhere.toml"]) == 2
    assert capsys.readouterr().err == (
        "neuronedit train: nowhere.toml: the configuration cannot be read (No such file or directory). "
        "Check the path.\n"
    )
