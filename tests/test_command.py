import logging

import pytest
from pydantic import Field

from neuronedit.command import JobCommand
from neuronedit.config import Config
from neuronedit.errors import DataError


class GreetConfig(Config):
    """How to greet."""

    name: str = Field(description="who is greeted")
    times: int = Field(1, ge=1, description="how often")


def greet(config: GreetConfig) -> int:
    """Greet somebody, 100% politely."""
    return config.times - 1


@pytest.mark.parametrize("status", [0, 3])
def test_the_exit_status_is_the_jobs_own(status):
    assert JobCommand("greet", GreetConfig, greet)(["--set", "name=Ada", "--set", f"times={status + 1}"]) == status


def test_the_configuration_file_is_read(tmp_path):
    (tmp_path / "greet.toml").write_text('name = "Ada"\ntimes = 4\n')
    assert JobCommand("greet", GreetConfig, greet)([str(tmp_path / "greet.toml")]) == 3


def test_a_setting_that_cannot_be_used_is_one_message_and_status_2(capsys):
    assert JobCommand("greet", GreetConfig, greet)(["--set", "name=Ada", "--set", "time=2"]) == 2
    assert capsys.readouterr().err == (
        "neuronedit greet: command line: unknown key 'time'; nearest name 'times'. Known keys: 'name', 'times'.\n"
    )


def test_settings_can_be_given_by_their_place(tmp_path):
    def who(config: GreetConfig) -> int:
        return config.times if config.name == "Ada" else -1

    (tmp_path / "greet.toml").write_text("times = 4\n")
    arguments = ["Ada", str(tmp_path / "greet.toml")]
    assert JobCommand("greet", GreetConfig, who, positional=("name",))(arguments) == 4
    assert JobCommand("greet", GreetConfig, who, positional=("name",))([*arguments, "--times", "5"]) == 5


def test_a_setting_that_is_missing_from_its_place_is_told(capsys):
    assert JobCommand("greet", GreetConfig, greet, positional=("name",))([]) == 2
    assert capsys.readouterr().err == ("neuronedit greet: Missing argument 'NAME'. See `neuronedit greet --help`.\n")


def test_an_error_for_the_user_is_one_message_and_status_2(capsys):
    def fail(config: GreetConfig) -> int:
        raise DataError(f"{config.name} is not here. Call her.")

    assert JobCommand("greet", GreetConfig, fail)(["--set", "name=Ada"]) == 2
    captured = capsys.readouterr()
    assert captured.err == "neuronedit greet: Ada is not here. Call her.\n"
    assert captured.out == ""


def test_neither_the_log_nor_a_message_on_usage_shows_credentials(capsys):
    def look(config: GreetConfig) -> int:
        logging.getLogger("another.library").warning("no answer from %s", config.name)
        return 0

    secret = "postgresql://lab:s3#cr@t@db/runs"
    assert JobCommand("greet", GreetConfig, look)(["--set", f"name={secret}"]) == 0
    assert capsys.readouterr().err.endswith("WARNING another.library: no answer from postgresql://***@db/runs\n")
    assert JobCommand("greet", GreetConfig, look)(["greet.toml", secret]) == 2
    assert capsys.readouterr().err == (
        "neuronedit greet: Got unexpected extra argument (postgresql://***@db/runs) See `neuronedit greet --help`.\n"
    )


def test_an_error_of_the_program_is_not_hidden():
    def fail(config: GreetConfig) -> int:
        raise ZeroDivisionError(config.name)

    with pytest.raises(ZeroDivisionError, match="Ada"):
        JobCommand("greet", GreetConfig, fail)(["--set", "name=Ada"])


@pytest.mark.parametrize("error", [BrokenPipeError, EOFError, KeyboardInterrupt])
def test_errors_that_click_takes_for_the_terminals_are_not_hidden(error):
    def fail(config: GreetConfig) -> int:
        raise error(config.name)

    with pytest.raises(error, match="Ada"):
        JobCommand("greet", GreetConfig, fail)(["--set", "name=Ada"])


def test_help_shows_what_the_job_does_and_every_field(capsys):
    assert JobCommand("greet", GreetConfig, greet, positional=("name",))(["--help"]) == 0
    text = capsys.readouterr().out
    for part in (
        "Usage: neuronedit greet [OPTIONS] NAME [CONFIG.toml]\n",
        "Greet somebody, 100% politely.",
        "  name  (text, required)\n      who is greeted",
        "  times  (integer, default 1)\n      how often",
        "--set SECTION.KEY=VALUE",
    ):
        assert part in text


def test_an_unknown_option_is_one_message_with_the_nearest_name_and_status_2(capsys):
    assert JobCommand("greet", GreetConfig, greet)(["--sett", "x"]) == 2
    assert capsys.readouterr().err == (
        "neuronedit greet: No such option '--sett'. Did you mean '--set'? See `neuronedit greet --help`.\n"
    )


@pytest.mark.parametrize(("options", "shown"), [([], False), (["--verbose"], True)])
def test_only_verbose_shows_what_other_libraries_log(capsys, options, shown):
    def chat(config: GreetConfig) -> int:
        logging.getLogger("elsewhere").info("heard elsewhere")
        logging.getLogger("neuronedit.greet").info("greeting %s", config.name)
        return 0

    JobCommand("greet", GreetConfig, chat)(["--set", "name=Ada", *options])
    log = capsys.readouterr().err
    assert ("heard elsewhere" in log) == shown
    assert "INFO neuronedit.greet: greeting Ada" in log


class Switches(Config):
    """Top-level settings."""

    on_error: str = Field("fail", description="what to do")
    overwrite: bool = Field(False, description="replace")


def test_top_level_settings_are_options_too():
    seen = []

    def keep(config: Switches) -> int:
        seen.append((config.on_error, config.overwrite))
        return 0

    for arguments in (
        [],
        ["--on-error", "quarantine"],
        ["--set", "on_error=x", "--overwrite"],
        ["--overwrite", "false"],
    ):
        assert JobCommand("x", Switches, keep)(arguments) == 0
    assert seen == [("fail", False), ("quarantine", False), ("x", True), ("fail", False)]
