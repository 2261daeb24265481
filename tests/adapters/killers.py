"""Actors that die or dawdle, to stand in for ``FileTransformer``; and one that has no process of its own."""

import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import ray

from neuronedit.adapters.files.blocks import FilePart
from neuronedit.adapters.transform import file_transformer
from neuronedit.adapters.transform.committed import Receipt
from neuronedit.adapters.transform.event_editor import Edited, EventEditor
from neuronedit.adapters.transform.file_transformer import FileTransformer

LOST_AT_MOST = 2
"""Workers that may be lost over one file, where they are really killed: each start takes seconds."""


class InThisProcess:
    """Stands in for the handle of an actor."""

    def __init__(self, kind: type) -> None:
        self.actor = kind()

    def __getattr__(self, name: str) -> Any:
        method = SimpleNamespace(remote=getattr(self.actor, name))
        method.options = lambda **options: method
        return method


class DiesOnce(FileTransformer):
    """Kills its own process in the middle of the first B-control.parquet, with half of it staged."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.editor = _KillingEditor(self.editor, self.note, always=False)

    @property
    def note(self) -> Path:
        return Path(self.output.location.path).with_name("died.txt")


class DiesAlways(DiesOnce):
    """Kills its own process whenever it comes to B-control.parquet: a file that costs every worker its life."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        file_transformer.MAX_ATTEMPTS = LOST_AT_MOST
        self.editor = _KillingEditor(self.editor, self.note, always=True)


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


class Slow(FileTransformer):
    """Takes its time over every block of events, so that it can be killed amid a file; notes on which node it is."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        node = ray.get_runtime_context().get_node_id()
        Path(self.output.location.path).with_name(f"node-{node}").touch()
        self.editor = _SlowEditor(self.editor.model, self.editor.rules)


class _SlowEditor(EventEditor):
    def edit(self, table: pa.Table, file: Any, first_row: int, observe: Any = None) -> Edited:
        time.sleep(0.3)
        return super().edit(table, file, first_row, observe)


class Held(FileTransformer):
    """Is held amid every file but the first until a note lets it go on; notes when it is done with one."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.folder = Path(self.output.location.path).parent
        self.editor = _HeldEditor(self.editor, self.folder)

    def transform(self, part: FilePart) -> Receipt:
        try:
            return super().transform(part)
        finally:
            if (self.folder / "go-on").exists():
                (self.folder / "went-on").touch()


class _HeldEditor(EventEditor):
    def __init__(self, editor: EventEditor, folder: Path) -> None:
        super().__init__(editor.model, editor.rules)
        self.folder = folder
        self.first = ""

    def edit(self, table: pa.Table, file: Any, first_row: int, observe: Any = None) -> Edited:
        self.first = self.first or file.name
        if file.name != self.first:
            (self.folder / "held").touch()
            while not (self.folder / "go-on").exists():
                time.sleep(0.05)
        return super().edit(table, file, first_row, observe)
