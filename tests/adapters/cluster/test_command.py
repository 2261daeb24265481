import logging
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from subprocess import PIPE

import pytest
from pydantic import Field

from neuronedit.adapters.cluster.command import JobCommand, _stop, end_job
from neuronedit.config import Config
from neuronedit.errors import DataError
from tests.disasters import wait_for


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


JOB = """
import os, signal, sys, threading, time
from pathlib import Path
from neuronedit.adapters.cluster import command
from neuronedit.adapters.cluster.command import JobCommand, catch_signals, end_job
from neuronedit.config import Config

class Nothing(Config):
    "No settings."

def job(config):
    try:
        print("ready", flush=True)
        {work}
    finally:
        {end}

raise SystemExit(JobCommand("wait", Nothing, job, remedy="Its work stands.")([]))
"""
STOPPED = "neuronedit wait: Stopped. Its work stands.\n"


def start_job(work: str = "time.sleep(600)", end: str = "pass") -> subprocess.Popen[str]:
    script = JOB.format(work=work, end=end)
    process = subprocess.Popen([sys.executable, "-c", script], stdout=PIPE, stderr=PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    return process


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    out, err = process.communicate(timeout=20)
    assert out == ""
    return process.returncode, err


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_job_that_is_stopped_tidies_up_and_says_what_stands(tmp_path, number, status):
    job = start_job(end=f"Path('{tmp_path}/tidy').touch()")
    job.send_signal(number)
    assert ended(job) == (status, STOPPED)
    assert (tmp_path / "tidy").exists()


@pytest.mark.parametrize(
    ("work", "end"),
    [
        ("time.sleep(600)", "time.sleep(600)"),
        ("list(map(time.sleep, [600]))", "1 / 0"),
        ("time.sleep(600)", "print('lost'); os.write(2, b'core dumped')"),
        ("threading.Event().wait()", "sys.exit(0)"),
    ],
    ids=["hangs", "fails", "chats", "exits"],
)
def test_a_stopped_job_ends_as_told_whatever_comes_after(work, end):
    job = start_job(f"command.SECONDS_TO_END = 0.5; {work}", end)
    job.send_signal(signal.SIGTERM)
    assert ended(job) == (143, STOPPED)


def test_nothing_is_said_while_a_stopped_job_tells_why_it_ends():
    late = "begin = command._Running.begin_to_end; command._Running.begin_to_end = lambda *given: ("
    late += "threading.current_thread() is threading.main_thread() and time.sleep(0.1), begin(*given))[1]; "
    slow = "dup2 = os.dup2; os.dup2 = lambda *streams: (time.sleep(0.3), dup2(*streams)); time.sleep(600)"
    job = start_job(late + slow, "os.write(2, b'core dumped')")
    job.send_signal(signal.SIGTERM)
    assert ended(job) == (143, STOPPED)


def test_the_reason_comes_last_whatever_other_threads_say_meanwhile():
    chat = "say = lambda: [os.write(2, b'at work\\n') for _ in iter(int, 1)]; "
    chat += "threading.Thread(target=say, daemon=True).start(); "
    slow = "dup2 = os.dup2; os.dup2 = lambda *streams: (time.sleep(0.1), dup2(*streams)); time.sleep(600)"
    job = start_job(chat + slow)
    job.send_signal(signal.SIGTERM)
    status, told = ended(job)
    assert status == 143
    assert told.startswith("at work\n")
    assert told.removeprefix("at work\n" * told.count("at work\n")) == STOPPED


def test_a_job_that_does_not_heed_its_interruption_is_ended():
    job = start_job(
        "command.SECONDS_TO_END = 0.5\n        while True:\n            try: time.sleep(600)\n            except: pass"
    )
    job.send_signal(signal.SIGINT)
    assert ended(job) == (130, STOPPED)


def test_a_job_that_is_stopped_amid_a_librarys_work_is_ended():
    endless = "import hashlib; hashlib.pbkdf2_hmac('sha256', b'', b'', 2**31 - 1)"
    job = start_job(f"command.SECONDS_TO_END = 0.5; {endless}")
    job.send_signal(signal.SIGTERM)
    assert ended(job) == (143, STOPPED)
    job = start_job(f"command.SECONDS_TO_END = 600; {endless}")
    job.send_signal(signal.SIGINT)
    assert job.stderr
    assert job.stderr.readline() == STOPPED
    job.send_signal(signal.SIGINT)
    assert ended(job) == (130, "")


def test_a_job_that_is_stopped_twice_ends_at_once(tmp_path):
    job = start_job("command.SECONDS_TO_END = 600; time.sleep(600)", f"Path('{tmp_path}/a').touch(); time.sleep(600)")
    job.send_signal(signal.SIGINT)
    wait_for((tmp_path / "a").exists)
    job.send_signal(signal.SIGTERM)
    assert ended(job) == (130, STOPPED)


def test_signals_reach_a_job_whose_library_has_handlers_of_its_own():
    job = start_job("signal.signal(signal.SIGTERM, print); catch_signals(); print('set', flush=True); time.sleep(600)")
    assert job.stdout
    assert job.stdout.readline() == "set\n"
    job.send_signal(signal.SIGTERM)
    assert ended(job) == (143, STOPPED)


@pytest.mark.parametrize(
    ("remedy", "told"),
    [("", "neuronedit wait: All is lost. Its work stands.\n"), (", remedy=''", "neuronedit wait: All is lost.\n")],
)
def test_a_thread_ends_the_job_with_one_message_and_status_2(tmp_path, remedy, told):
    watch = f"threading.Timer(0.2, lambda: end_job('All is lost.'{remedy})).start()"
    job = start_job(f"{watch}; threading.Event().wait()", f"Path('{tmp_path}/tidy').touch()")
    assert ended(job) == (2, told)
    assert (tmp_path / "tidy").exists()


def test_a_job_leaves_the_signals_as_they_were():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    inside = []

    def look(config: GreetConfig) -> int:
        inside.extend([signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)])
        return 0

    assert JobCommand("greet", GreetConfig, look)(["--set", "name=Ada"]) == 0
    assert inside == [_stop, _stop]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    end_job("Nobody runs.")  # nothing happens


def test_a_job_in_another_thread_leaves_the_signals_alone():
    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(JobCommand("greet", GreetConfig, greet), ["--set", "name=Ada"]).result() == 0


@pytest.mark.parametrize("lines", [1, 100_000])  # held to the end, and written amid the job
def test_a_job_goes_on_in_silence_when_nobody_reads_its_output_any_more(lines: int, tmp_path) -> None:
    script = f"""
import sys, click
from pathlib import Path
from neuronedit.adapters.cluster.command import Command, run
def tell():
    sys.stdin.readline()
    for _ in range({lines}):
        print("a line")
        print("a line", file=sys.stderr)
    Path("done").touch()
    return 3
run(click.Command("tell", callback=tell), "tell", []) == 3 or sys.exit(9)
sys.exit(3)
"""
    job = subprocess.Popen(
        [sys.executable, "-c", script], stdin=PIPE, stdout=PIPE, stderr=PIPE, text=True, cwd=tmp_path
    )
    assert job.stdin
    assert job.stdout
    assert job.stderr
    job.stdout.close()  # the reader leaves
    if lines > 1:
        job.stderr.close()
    job.stdin.write("go\n")
    job.stdin.close()
    said = job.stderr.read() if lines == 1 else ""
    assert job.wait(timeout=60) == 3
    assert said in ("", "a line\n"), "no traceback"
    assert (tmp_path / "done").exists()
