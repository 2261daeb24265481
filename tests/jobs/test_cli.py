import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from neuronedit_jobs import cli, train, transform
from neuronedit_jobs.__main__ import NEEDED
from neuronedit_jobs.train import TrainConfig
from neuronedit_jobs.transform import TransformConfig

import neuronedit
from neuronedit.config import Config
from tests.jobs.conftest import Command

ROOT = Path(__file__).resolve().parents[2]


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
    assert capsys.readouterr().err.startswith("Usage: neuronedit [OPTIONS] COMMAND")


def test_help_lists_every_job(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_here(monkeypatch, "--help") == 0
    usage = capsys.readouterr().out
    assert re.findall(r"^  (\w+)  ", usage.partition("Commands:")[2], re.MULTILINE) == list(cli.JOBS)


def test_the_version_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_here(monkeypatch, "--version") == 0
    assert capsys.readouterr().out == f"neuronedit {neuronedit.__version__}\n"


def test_an_unknown_job_is_told_with_status_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_here(monkeypatch, "trian") == 2
    assert capsys.readouterr().err == (
        "neuronedit: No such command 'trian'. Did you mean 'train'? See `neuronedit --help`.\n"
    )


def test_help_and_completion_import_no_library_that_takes_seconds() -> None:
    script = (
        "import sys; from neuronedit_jobs.cli import main; main(['--help']); "
        "sys.exit(bool({'ray', 'torch', 'mlflow', 'pyarrow', 'pandas', 'numpy'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_what_the_jobs_need_beyond_the_library_is_told_where_it_is_missing() -> None:
    script = (
        "import sys; sys.modules['mlflow'] = sys.modules['ray'] = None; "
        "from neuronedit_jobs.__main__ import main; sys.exit(main())"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "neuronedit: the jobs need further packages; missing are mlflow, ray. Install them with "
        "pip install 'neuronedit[jobs]'. In Python, `import neuronedit` works without.\n"
    )


def test_the_extra_jobs_installs_what_is_looked_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extra = [re.split(r"[\[<>=]", requirement)[0] for requirement in project["optional-dependencies"]["jobs"]]
    assert sorted(extra) == sorted(NEEDED)


def test_a_shell_completes_the_jobs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("_NEURONEDIT_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "neuronedit tra")
    monkeypatch.setenv("COMP_CWORD", "1")
    with pytest.raises(SystemExit, match="0"):
        run_here(monkeypatch)
    assert capsys.readouterr().out == "plain,train\nplain,transform\n"


def listed_keys(text: str) -> set[str]:
    return {line.split()[0] for line in text.splitlines() if line.startswith("  ")}


def test_the_console_scripts_help_lists_every_key_of_train(command: Command) -> None:
    done = command("jobs/cli.py", "train", "--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Usage: neuronedit train [OPTIONS] [CONFIG.toml]\n")
    assert set(keys(TrainConfig)) <= listed_keys(done.stdout)


def test_the_help_of_transform_lists_every_key(capsys: pytest.CaptureFixture[str]) -> None:
    assert transform.main(["--help"]) == 0
    assert set(keys(TransformConfig)) <= listed_keys(capsys.readouterr().out)


def test_a_missing_configuration_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert train.main(["nowhere.toml"]) == 2
    assert capsys.readouterr().err == (
        "neuronedit train: nowhere.toml: the configuration cannot be read (No such file or directory). "
        "Check the path.\n"
    )
