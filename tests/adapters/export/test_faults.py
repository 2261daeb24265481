"""A worker of an export that is killed amid a file: another does the file anew, to the same bytes."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from neuronedit.adapters.export.exporter import Exporter, ExportItem
from neuronedit.adapters.files.dataset import EventFile
from neuronedit.adapters.transform.manifest import verify_output
from neuronedit.adapters.transform.pool import worked
from tests.adapters.exporting import export

pytestmark = [pytest.mark.ray, pytest.mark.faults]


class DiesOnce(Exporter):
    """Kills its own process at the first B-control, with half of it staged."""

    def _pinned(self, item: ExportItem, source: EventFile) -> str:
        note = Path(self.output.location.path).with_name("died.txt")
        if source.name == "B-control.parquet" and not note.exists():
            (self.output.location / item.output).staged().write_bytes(b"half")
            note.write_text(str(os.getpid()))
            os.kill(os.getpid(), signal.SIGKILL)
        return super()._pinned(item, source)


class OnRay:
    """Exports by Ray's workers what it is asked for one by one."""

    def __init__(self, *arguments: Any) -> None:
        names = ("filesystem", "output", "rules")
        self.arguments = dict(zip(names, arguments, strict=True))

    def export(self, item: ExportItem) -> Any:
        (receipt,) = worked(DiesOnce, self.arguments, [item], item.n_events, 1)
        return receipt


def test_a_killed_worker_loses_and_doubles_nothing(cells_once: Path, tmp_path: Path, ray_cluster: None) -> None:
    export(cells_once, tmp_path / "whole")
    cells = tmp_path / "cells"
    cells.mkdir()
    for path in cells_once.glob("[AB]-control.parquet"):
        (cells / path.name).symlink_to(path)
    export(cells, tmp_path / "fcs", OnRay)
    assert (tmp_path / "died.txt").exists()
    assert verify_output(str(tmp_path / "fcs")).problems == ()
    for path in (tmp_path / "fcs").glob("*.fcs"):
        assert path.read_bytes() == (tmp_path / "whole" / path.name).read_bytes()
    assert not list((tmp_path / "fcs").rglob("*.part"))
