import logging
import time

import pytest

from neuronedit.adapters.cluster import progress
from neuronedit.adapters.cluster.progress import Done, line, shown_progress


def test_a_line_has_files_events_rate_and_time_left() -> None:
    expected = "3 of 10 files, 500,000 of 2,000,000 events, 10,000 events/s, 02:30 left"
    assert line(Done(500_000, "3 of 10 files"), 2_000_000, 500_000, 50.0) == expected


def test_before_the_first_event_the_time_left_is_unknown() -> None:
    assert line(Done(0), 100, 0, 0.0) == "0 of 100 events, 0 events/s, ? left"


def test_what_an_earlier_run_did_makes_the_rate_no_higher() -> None:
    assert line(Done(90), 100, 10, 10.0) == "90 of 100 events, 1 events/s, 00:10 left"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (("LOOKS", 0.01), ("LINES", 0.05)):
        monkeypatch.setattr(progress, f"SECONDS_BETWEEN_{name}", seconds)


def test_a_log_gets_lines_while_the_work_goes_on(quick: None, caplog: pytest.LogCaptureFixture) -> None:
    done = iter(range(10_000))
    with caplog.at_level(logging.INFO), shown_progress(lambda: Done(next(done), "1 of 2 files"), 10_000):
        time.sleep(0.4)
    lines = [record.message for record in caplog.records]
    assert 2 <= len(lines) <= 8
    assert all(message.startswith("1 of 2 files, ") for message in lines)


def test_a_job_that_does_not_get_on_says_so(
    quick: None, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "SECONDS_OF_SILENCE", 0.1)
    with shown_progress(lambda: Done(0), 100):
        time.sleep(0.4)
    warnings = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert 1 <= len(warnings) <= 4
    assert "nothing has got on for 0 minutes: look at the cluster" in warnings[0]


def test_who_does_the_work_may_be_out_of_reach_for_a_while(quick: None, caplog: pytest.LogCaptureFixture) -> None:
    seen = [Done(10, "1 of 2 files"), None, None, Done(20, "2 of 2 files")]
    with caplog.at_level(logging.INFO), shown_progress(lambda: seen.pop(0) if len(seen) > 1 else seen[0], 20):
        time.sleep(0.3)
    assert caplog.records[-1].message.startswith("2 of 2 files, 20 of 20 events")


def test_a_bar_is_drawn_on_a_terminal(
    quick: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    with shown_progress(lambda: Done(50, "1 of 2 files"), 100):
        time.sleep(0.3)
    drawn = capsys.readouterr().err
    assert "50.0/100" in drawn
    assert "1 of 2 files" in drawn
