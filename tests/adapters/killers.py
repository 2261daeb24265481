"""Actors that die or dawdle, to stand in for ``FileTransformer``."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from neuronedit.adapters import parquet
from neuronedit.adapters.output_folder import FileReport
from neuronedit.adapters.parquet import EventFile
from neuronedit.adapters.ray_data import FileTransformer, TableEditor


class DiesOnce(FileTransformer):
    """Kills its own process in the middle of the first B-control.parquet, with half of it staged."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        parquet.ROWS_PER_READ = 100
        note = Path(self.output.location.path).with_name("died.txt")
        self.editor = _KillingEditor(self.editor.model, self.editor.rules, note)


class _KillingEditor(TableEditor):
    def __init__(self, model: Any, rules: Any, note: Path) -> None:
        super().__init__(model, rules)
        object.__setattr__(self, "note", note)

    def edit(self, table: pa.Table, file: EventFile, first_row: int) -> tuple[pa.Table, np.ndarray]:
        if file.name == "B-control.parquet" and first_row >= 200 and not self.note.exists():
            self.note.write_text(str(os.getpid()))
            os.kill(os.getpid(), signal.SIGKILL)
        return super().edit(table, file, first_row)


class Dawdles(FileTransformer):
    """Takes its time over every file."""

    def transform(self, file: EventFile) -> FileReport:
        time.sleep(0.7)
        return super().transform(file)
