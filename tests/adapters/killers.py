"""Actors that die or dawdle, to stand in for ``FileTransformer``."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import pyarrow as pa

from neuronedit.adapters import file_blocks
from neuronedit.adapters.event_editor import Edited, EventEditor
from neuronedit.adapters.file_parts import FilePart
from neuronedit.adapters.file_transformer import FileTransformer
from neuronedit.adapters.receipt import Receipt


class DiesOnce(FileTransformer):
    """Kills its own process in the middle of the first B-control.parquet, with half of it staged."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        file_blocks.EVENTS_PER_BLOCK = 100
        note = Path(self.output.location.path).with_name("died.txt")
        self.editor = _KillingEditor(self.editor, note, always=False)


class DiesAlways(FileTransformer):
    """Kills its own process whenever it comes to B-control.parquet: a file that costs every worker its life."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        file_blocks.EVENTS_PER_BLOCK = 100
        note = Path(self.output.location.path).with_name("died.txt")
        self.editor = _KillingEditor(self.editor, note, always=True)


class _KillingEditor(EventEditor):
    def __init__(self, editor: EventEditor, note: Path, *, always: bool) -> None:
        super().__init__(editor.model, editor.rules)
        self.note = note
        self.always = always

    def edit(self, table: pa.Table, file: Any, first_row: int, observe: Any = None) -> Edited:
        if file.name == "B-control.parquet" and first_row >= 200 and (self.always or not self.note.exists()):
            with self.note.open("a") as stream:
                stream.write(f"{os.getpid()}\n")
            os.kill(os.getpid(), signal.SIGKILL)
        return super().edit(table, file, first_row, observe)


class Dawdles(FileTransformer):
    """Takes its time over every file."""

    def transform(self, part: FilePart) -> Receipt:
        time.sleep(0.7)
        return super().transform(part)
