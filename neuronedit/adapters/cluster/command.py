"""How every job is called, ``JOB CONFIG.toml --set section.key=value``, and how it ends when it is stopped.

A job is stopped by Ctrl-C or SIGTERM, or by a thread that sees that it cannot go on (``end_job``). The reason is told
at once, in one message. Then the job is interrupted, puts its things in order, and the process ends: after a few
seconds in any case, and at once where it is stopped again.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Any, TextIO, TypeVar

import click

from neuronedit.config import Config, explain_fields, top_level_settings
from neuronedit.errors import NeuroneditError, log_to_stderr, masked

ConfigType = TypeVar("ConfigType", bound=Config)

SECONDS_TO_END = 5.0
"""How long a job that is stopped may take to put its things in order."""

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Command(click.Command):
    """A command that is called with its arguments, and tells its user's errors in one message with status 2."""

    remedy = "Run it again."
    """What to do when it was stopped, for the message."""

    def __call__(self, argv: Sequence[str] | None = None) -> int:
        """Run the command with these arguments, by default the process's own, and return its exit status."""
        return run(self, f"neuronedit {self.name}", argv)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command.

        Raises:
            click.UsageError: The command ended with an error for its user.
        """
        if _running:
            _running.name, _running.remedy = ctx.command_path, self.remedy
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
        remedy: What stands and what to do when the job was stopped, for the message.
    """

    def __init__(
        self,
        name: str,
        config_type: type[ConfigType],
        job: Callable[[ConfigType], int],
        positional: Sequence[str] = (),
        remedy: str = Command.remedy,
    ) -> None:
        def load_and_run(config: Path | None, overrides: Sequence[str], verbose: bool, **given: str | None) -> int:
            log_to_stderr(verbose=verbose)
            options = [f"{key}={value}" for key, value in given.items() if value is not None]
            return job(config_type.load(config, [*overrides, *options]))

        parameters = list(_parameters(config_type, positional))
        super().__init__(name, callback=load_and_run, params=parameters, help=job.__doc__)
        self.config_type = config_type
        self.remedy = remedy

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
        traceback. A command whose output nobody reads any more goes on in silence. One that is stopped does not
        return: the process ends, with status 130 for Ctrl-C, 143 for SIGTERM, 2 for ``end_job``.

    Example:
        >>> run(click.Command("check", callback=lambda: 3), "neuronedit check", [])
        3
    """
    with _stoppable(name), redirect_stdout(_Heard(sys.stdout)), redirect_stderr(_Heard(sys.stderr)):
        try:
            return _run(command, name, argv)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()


def end_job(message: str, remedy: str | None = None) -> bool:
    """End the job that this process runs, from any thread, as an error of its user.

    Nothing happens where no job of the command line runs.

    Args:
        message: The reason.
        remedy: What stands and what to do; by default the job's own.

    Returns:
        Whether there is such a job.

    Example:
        >>> end_job("Ray was lost.")
        False
    """
    job = _running
    if job and job.begin_to_end(2, f"{message} {job.remedy if remedy is None else remedy}".rstrip()):
        # A signal, since it also wakes the main thread where it waits.
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    return job is not None


def catch_signals() -> None:
    """Have the signals that stop a job reach it, also after a library has set its own handlers.

    Example:
        >>> catch_signals()
    """
    if _running:
        for number in SIGNALS:
            signal.signal(number, _stop)


def _stop(number: int, frame: object) -> None:
    """Stop the running job: handles the signals that ask for it."""
    job = _running
    if job:
        job.begin_to_end(128 + number, f"Stopped. {job.remedy}")
        job.interrupt()
    raise KeyboardInterrupt


class _Heard:
    """A stream whose reader may leave before the end, as ``head`` does: what is written afterwards is dropped."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        return self._unless_left(self._stream.write, text)

    def flush(self) -> None:
        self._unless_left(self._stream.flush)

    def _unless_left(self, do: Callable[..., int | None], *text: str) -> int:
        try:
            return do(*text) or 0
        except BrokenPipeError:  # what the stream still holds when the process ends goes nowhere, too
            with Path(os.devnull).open("w") as nowhere:
                os.dup2(nowhere.fileno(), self._stream.fileno())
            return sum(map(len, text))


class _Running:
    """The job that the main thread runs, and its end if that was asked for from outside."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.remedy = Command.remedy
        self.interrupted = False
        self._status: int | None = None
        # Whoever comes second waits until the first has told why; a handler amid its own thread's telling does not.
        self._telling = threading.RLock()

    @property
    def status(self) -> int | None:
        """The status with which the job ends, once that was told; None where it goes on."""
        with self._telling:
            return self._status

    def begin_to_end(self, status: int, message: str) -> bool:
        """Tell why the job ends, and see to it that it does; False where it ends already."""
        with self._telling:
            if self._status is not None:
                return False
            self._status = status
            timer = threading.Timer(SECONDS_TO_END, os._exit, [status])
            timer.daemon = True
            timer.start()
            # What others say at the end of an interrupted process is of no use to anybody: the reason comes last.
            with suppress(OSError), Path(os.devnull).open("w") as nowhere:
                stderr = os.dup(2)
                for stream in (1, 2):
                    os.dup2(nowhere.fileno(), stream)
                # Not by way of sys.stderr: the signal may have come amid its work. A bar has left its line open.
                os.write(stderr, f"{os.linesep * os.isatty(stderr)}{self.name}: {message}\n".encode())
            return True

    def interrupt(self) -> None:
        """Let the main thread be interrupted once; the second time, end the process."""
        if self.interrupted:
            os._exit(self.status or 1)
        self.interrupted = True


_running: _Running | None = None


@contextmanager
def _stoppable(name: str) -> Iterator[None]:
    global _running
    if threading.current_thread() is not threading.main_thread():
        yield  # signals reach the main thread alone
        return
    before = [signal.getsignal(number) for number in SIGNALS]
    _running = job = _Running(name)
    heard, told = os.pipe()
    os.set_blocking(told, False)
    threading.Thread(target=_hear_signals, args=(heard, job), daemon=True).start()
    told_before = signal.set_wakeup_fd(told, warn_on_full_buffer=False)
    catch_signals()
    try:
        yield
    finally:
        if job.status is not None:
            os._exit(job.status)
        _running = None
        for number, handler in zip(SIGNALS, before, strict=True):
            signal.signal(number, handler)
        signal.set_wakeup_fd(told_before)
        os.close(told)


def _hear_signals(heard: int, job: _Running) -> None:
    """Heed signals also while the main thread is in a library that does not let it: there, no handler runs."""
    n_heard = 0
    while said := os.read(heard, 1):
        if said[0] in SIGNALS:
            job.begin_to_end(128 + said[0], f"Stopped. {job.remedy}")
            n_heard += 1
        if n_heard > 1:
            os._exit(job.status or 1)
    os.close(heard)


def _run(command: click.Command, name: str, argv: Sequence[str] | None) -> int:
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
