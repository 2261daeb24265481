"""Workers and drivers of an ingest that are killed amid a file: the output is that of an undisturbed run."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from neuronedit_jobs.ingest import job

from neuronedit.adapters.fcs import data
from neuronedit.adapters.ingest import ingester
from neuronedit.adapters.ingest.ingester import FcsIngester, IngestItem
from neuronedit.adapters.transform.manifest import verify_output
from neuronedit.errors import OutputError
from tests.adapters.ingest.conftest import config, written
from tests.adapters.ingesting import ingest
from tests.disasters import start_driver, wait_for

pytestmark = [pytest.mark.ray, pytest.mark.faults]

DRIVER = """
import sys
from neuronedit_jobs import ingest
from neuronedit.adapters.ingest import ingester
from tests.adapters.ingest import test_faults
ingester.FcsIngester = test_faults.Slow
raise SystemExit(ingest.main(sys.argv[1:]))
"""


class DiesOnce(FcsIngester):
    """Kills its own process amid the first b.fcs, with a part of it staged."""

    def _still_as_listed(self, tables: Iterator[pa.Table], item: IngestItem) -> Iterator[pa.Table]:
        data.BLOCK_EVENTS = 8_000
        note = Path(self.output.location.path).with_name("died.txt")
        for number, table in enumerate(super()._still_as_listed(tables, item)):
            if item.output == "b.parquet" and number == 1 and not note.exists():
                note.write_text(str(os.getpid()))
                os.kill(os.getpid(), signal.SIGKILL)
            yield table


class Slow(FcsIngester):
    """Takes its time over every file."""

    def _still_as_listed(self, tables: Iterator[pa.Table], item: IngestItem) -> Iterator[pa.Table]:
        for table in super()._still_as_listed(tables, item):
            time.sleep(1)
            yield table


def test_a_killed_worker_loses_and_doubles_nothing(
    folder: Path, ray_cluster: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data, "BLOCK_EVENTS", 8_000)
    ingest(config(folder, folder / "whole"))
    monkeypatch.setattr(ingester, "FcsIngester", DiesOnce)
    assert job(config(folder, folder / "cells", workers=1)) == 0
    assert int((folder / "died.txt").read_text()) != os.getpid()
    assert written(folder / "cells") == written(folder / "whole")
    assert len(written(folder / "cells")) == 4
    assert verify_output(str(folder / "cells")).problems == ()
    assert not list((folder / "cells").rglob("*.part"))


def test_a_driver_at_work_refuses_others_and_once_killed_a_resume_writes_the_same_bytes(
    folder: Path, whole: dict[str, bytes]
) -> None:
    cells, sheet = folder / "cells", folder / "fcs/samples.csv"
    driver = start_driver(DRIVER, "--sample-sheet", sheet, "--output", cells, "--workers", "1")
    try:
        wait_for(lambda: len(written(cells)) >= 2, driver)
        with pytest.raises(OutputError, match=rf"another job is writing it \(process {driver.pid} on "):
            ingest(config(folder, cells, resume=True))
    finally:
        driver.send_signal(signal.SIGKILL)
        driver.wait()
    time.sleep(2)  # its actors notice that it is gone, or finish the file that they are at
    done = {path: path.stat().st_mtime_ns for path in cells.glob("*.parquet")}
    assert 2 <= len(done) < 4
    (cells / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"found also 'mine\.txt'\. Nothing was touched"):
        ingest(config(folder, cells, resume=True))
    (cells / "mine.txt").rename(folder / "mine.txt")
    ingest(config(folder, cells, resume=True))
    assert {path: path.stat().st_mtime_ns for path in done} == done, "finished files are not written again"
    assert written(cells) == whole
    assert verify_output(str(cells)).problems == ()
