"""How every job is called: ``JOB CONFIG.toml --set section.key=value``; top-level settings are options, too."""

import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from neuronedit.config import Config, explain_fields, top_level_settings
from neuronedit.errors import NeuroneditError, masked

ConfigType = TypeVar("ConfigType", bound=Config)


class Command(click.Command):
    """A command that is called with its arguments, and tells its user's errors in one message with status 2."""

    def __call__(self, argv: Sequence[str] | None = None) -> int:
        """Run the command with these arguments, by default the process's own, and return its exit status."""
        return run(self, f"neuronedit {self.name}", argv)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command.

        Raises:
            click.UsageError: The command ended with an error for its user.
        """
        try:
            return super().invoke(ctx)
        except NeuroneditError as error:
            raise click.UsageError(str(error), ctx) from error


class JobCommand(Command):
    """A job that takes a configuration: a TOML file, ``--set``, and an option for each top-level setting.

    Args:
        name: The job's.
        config_type: Its settings.
        job: A function that runs it and returns the exit status (0: done; 3: done, but some input was quarantined).
        positional: Settings that are given by their place, before the configuration: ``promote NAME VERSION``.
    """

    def __init__(
        self, name: str, config_type: type[ConfigType], job: Callable[[ConfigType], int], positional: Sequence[str] = ()
    ) -> None:
        def load_and_run(config: Path | None, overrides: Sequence[str], verbose: bool, **given: str | None) -> int:
            _log_to_stderr(verbose)
            options = [f"{key}={value}" for key, value in given.items() if value is not None]
            return job(config_type.load(config, [*overrides, *options]))

        parameters = list(_parameters(config_type, positional))
        super().__init__(name, callback=load_and_run, params=parameters, help=job.__doc__)
        self.config_type = config_type

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write every setting below the options."""
        formatter.write(f"\nsettings (section.key):\n{explain_fields(self.config_type)}\n")


def run(command: click.Command, name: str, argv: Sequence[str] | None = None) -> int:
    """Run a command, or the command within a group that the arguments name.

    Args:
        command: The command or group.
        name: Its name in messages.
        argv: Its arguments, by default the process's own.

    Returns:
        The exit status: the command's own, or 2 for input that a user can mend, told in one message without a
        traceback.

    Example:
        >>> run(click.Command("check", callback=lambda: 3), "neuronedit check", [])
        3
    """
    # Not click's main: it would take a broken pipe, an end of file or an interrupt within a job for the terminal's.
    try:
        arguments = list(sys.argv[1:] if argv is None else argv)
        with command.make_context(
            name, arguments, help_option_names=["-h", "--help"], max_content_width=120
        ) as context:
            return command.invoke(context)
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else name
        hint = "" if error.__cause__ else f" See `{path} --help`."
        sys.stderr.write(f"{path}: {masked(error.format_message())}{hint}\n")
    return 2


def _parameters(config_type: type[Config], positional: Sequence[str]) -> Iterator[click.Parameter]:
    for key in positional:
        yield click.Argument([key])
    path = click.Path(path_type=Path)
    yield click.Argument(["config"], type=path, metavar="[CONFIG.toml]", required=False)
    yield click.Option(
        ["--set", "overrides"],
        multiple=True,
        metavar="SECTION.KEY=VALUE",
        help="override one setting; may be given several times",
    )
    for key, meaning, is_switch in top_level_settings(config_type):
        if key in positional:
            continue
        names = [f"--{key.replace('_', '-')}", key]
        if is_switch:
            yield click.Option(names, metavar="[VALUE]", help=meaning, is_flag=False, flag_value="true")
        else:
            yield click.Option(names, metavar="VALUE", help=meaning)
    yield click.Option(["--verbose"], is_flag=True, help="log more")


class _MaskedFormatter(logging.Formatter):
    """Writes log lines, other libraries' too, without credentials."""

    def format(self, record: logging.LogRecord) -> str:
        return masked(super().format(record))


def _log_to_stderr(verbose: bool) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_MaskedFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("neuronedit").setLevel(logging.INFO)
