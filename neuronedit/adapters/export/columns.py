"""Columns of Parquet as an FCS file has them: numbers become channels, texts that are constant become keywords."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self
from unicodedata import normalize

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

import neuronedit
from neuronedit.adapters.fcs.keywords import is_standard, kept_keywords, source_range, without_twins
from neuronedit.adapters.fcs.parquet_file import METADATA_KEY
from neuronedit.adapters.fcs.writing import Channel, needed_range
from neuronedit.adapters.files.dataset import EventFile
from neuronedit.adapters.h5ad.writing import OBS_NAMES, Variables
from neuronedit.adapters.transform.event_editor import SUPPORT_COLUMN
from neuronedit.errors import DataError, listing

NO_SUPPORT = -1.0
"""The support of events that were not edited, which have none; those of others are never below zero."""

OWN = (SUPPORT_COLUMN, OBS_NAMES)
"""Columns that are no variables of an h5ad file, whatever they hold."""

MANY = 2
"""As many different values are too many for a keyword."""


def read_facts(schema: pa.Schema) -> dict[str, Any]:
    """Read what ingest noted of the source in a file's metadata; nothing where another program wrote the file."""
    try:
        facts = json.loads((schema.metadata or {}).get(METADATA_KEY, b"{}"))
    except ValueError:
        return {}
    return facts if isinstance(facts, dict) else {}


@dataclass
class Survey:
    """What is found in one Parquet file before its events are written.

    Attributes:
        file: The file.
        names: Its columns that are written as numbers, with their types.
        maxima: The largest value of each of them, where the footer's statistics tell.
        unread: Columns that must be read to know: texts, and numbers without statistics.
        constants: The different values of each text column, at most ``MANY``; null is one.
        left_out: Columns that no FCS file can have.
        n_events: Number of the chosen events.
    """

    file: EventFile
    names: dict[str, pa.DataType]
    maxima: dict[str, float]
    unread: list[str]
    constants: dict[str, set[str | None]]
    left_out: list[str]
    n_events: int = 0

    @classmethod
    def of(cls, schema: pa.Schema, metadata: pq.FileMetaData, file: EventFile, leave_out: Sequence[str]) -> Self:
        """Look at a file's footer.

        Raises:
            DataError: A column stands twice; or no column has numbers.
        """
        repeated = sorted({name for name in schema.names if schema.names.count(name) > 1})
        if repeated:
            raise DataError(
                f"{file.path}: expected each column once; {listing(repeated)} stands more than once. Rename one."
            )
        fields = [one for one in schema if one.name not in leave_out]
        names = {one.name: one.type for one in fields if _is_number(one.type)}
        if not names:
            raise DataError(
                f"{file.path}: expected columns of numbers; found none among {listing(schema.names)}. An FCS file "
                "holds numbers alone."
            )
        texts = [one.name for one in fields if one.name not in names and not pa.types.is_nested(one.type)]
        maxima = _maxima(metadata, names)
        constants: dict[str, set[str | None]] = {name: set() for name in texts}
        constants |= {column: {value} for column, value in file.partition.items() if column not in leave_out}
        unread = [*texts, *(name for name in names if name not in maxima)]
        nested = [one.name for one in fields if one.name not in names and one.name not in texts]
        return cls(file, names, maxima, unread, constants, nested)

    def observe(self, table: pa.Table) -> None:
        """Take in some of the chosen events, the columns ``unread`` of them."""
        self.n_events += table.num_rows
        for name in self.unread:
            column = table.column(name)
            if name in self.names:
                values = column.cast(pa.float64(), safe=False)
                largest = pc.max(values.filter(pc.is_finite(values))).as_py()  # the writer tells of others
                if largest is not None:
                    self.maxima[name] = max(largest, self.maxima.get(name, -np.inf))
            elif len(self.constants[name]) < MANY:
                self.constants[name] |= {None if v is None else str(v) for v in column.unique().to_pylist()[:MANY]}


@dataclass(frozen=True)
class Sheet:
    """All of an FCS file but for its events.

    Attributes:
        channels: Its channels.
        keywords: Its keywords, without those that depend on its name and its transform.
        n_events: Number of its events.
        notes: What a person should know of it.
    """

    channels: tuple[Channel, ...]
    keywords: Mapping[str, str] = field(default_factory=dict)
    n_events: int = 0
    notes: tuple[str, ...] = ()

    @property
    def columns(self) -> list[str]:
        """The channels' columns, in order."""
        return [channel.column for channel in self.channels]

    @classmethod
    def of(cls, surveys: Sequence[Survey], facts: Mapping[str, Any]) -> Self:
        """Put together what the surveys of the sources found.

        Args:
            surveys: One for each source; their columns are the same.
            facts: What ingest noted (see ``read_facts``): ``channels``, each channel's column, and, where they were
                kept, the source's ``keywords`` with their ``$``.
        """
        source = _texts(facts.get("keywords"))
        maxima = {
            name: max((survey.maxima[name] for survey in surveys if name in survey.maxima), default=0.0)
            for name in surveys[0].names
        }
        channels = _channels(maxima, _texts(facts.get("channels")), source)
        keywords, varying = _constants(surveys)
        own = {
            "$LAST_MODIFIER": f"neuronedit {neuronedit.__version__}",
            "NEURONEDIT_SOURCE_FILE": str(facts.get("file", "")),
            "NEURONEDIT_SOURCE_SHA256": str(facts.get("sha256", "")),
            # The times are seconds since ingest; a reader that knows of no step may take them for anything.
            "$TIMESTEP": "1" if source.get("$TIMESTEP", "").strip() else "",
            "ORIGINALGUID": source.get("GUID", "") or source.get("ORIGINALGUID", ""),
        }
        compensated = bool(facts.get("compensated"))
        kept = kept_keywords(source, [channel.name for channel in channels], compensated=compensated)
        kept |= {key: value for key, value in own.items() if value}
        for column, value in keywords.items():
            name = column.upper() if column.isascii() else column
            kept[f"COLUMN_{name}" if is_standard(name) or name.startswith(("$", "NEURONEDIT_")) else name] = value
        left_out = [*varying, *surveys[0].left_out]
        notes = [f"columns that are no numbers and not the same for all events are left out: {listing(left_out)}"]
        return cls(
            channels, without_twins(kept), sum(survey.n_events for survey in surveys), tuple(notes if left_out else ())
        )


def variables_of(surveys: Sequence[Survey], facts: Mapping[str, Any], lineage: Mapping[str, str]) -> Variables:
    """Tell variables from other columns: by what ingest noted, otherwise floating-point numbers are variables.

    Args:
        surveys: One for each source; their columns of numbers are the same.
        facts: What ingest noted of the source (see ``read_facts``).
        lineage: Keywords that lead back to the model (see ``export_items``).

    Raises:
        DataError: No column would be in X.
    """
    first = surveys[0]
    channels = {column: channel for channel, column in _texts(facts.get("channels")).items()}
    variables = facts.get("variables")
    noted = {*map(str, variables if isinstance(variables, list) else channels)}
    floats = [name for name, kind in first.names.items() if pa.types.is_floating(kind) and name not in OWN]
    names = [name for name in first.names if name in noted] or floats
    if not names:
        raise DataError(
            f"{first.file.path}: expected columns of floating-point numbers, which X would have; found none among "
            f"{listing([*first.names, *first.constants])}. Name a dataset with markers."
        )
    texts = dict.fromkeys(name for survey in surveys for name in survey.constants)
    meta = _texts(facts.get("keywords")) if len(surveys) == 1 else {}
    beside = {
        "meta": {key.replace("/", "_"): value for key, value in meta.items() if key.strip("/.")},
        "neuronedit": {key.removeprefix("NEURONEDIT_").strip("$").lower(): text for key, text in lineage.items()},
    }
    return Variables(
        tuple(names),
        (*(name for name in first.names if name not in names), *texts),
        channels,
        any(first.names[name] not in (pa.float16(), pa.float32()) for name in names),
        {name: texts for name, texts in beside.items() if texts},
    )


def _channels(
    maxima: Mapping[str, float], channels: Mapping[str, str], source: Mapping[str, str]
) -> tuple[Channel, ...]:
    """The channel of each column: its detector where the source has one, otherwise the column's own name."""
    detector = _detectors([*maxima], channels)
    made: list[Channel] = []
    taken = set(detector.values())
    for column, largest in maxima.items():
        name = detector.get(column)
        if name is None:
            # A comma would end the name within a spillover matrix.
            plain = column.strip().replace(",", "_") or "channel"
            name, count = plain, 1
            while name in taken:
                count += 1
                name = f"{plain}_{count}"
            taken.add(name)
        label = column if column != name else ""
        null = NO_SUPPORT if column == SUPPORT_COLUMN else None
        made.append(Channel(column, name, label, max(needed_range(largest), source_range(source, name)), null))
    return tuple(made)


def _detectors(columns: Sequence[str], channels: Mapping[str, str]) -> dict[str, str]:
    """The detector of each column that has one; columns may be spelt in other code points than ingest noted."""
    exact = {column: channel for channel, column in channels.items() if column in columns}
    free = {_spelling(column): channel for channel, column in channels.items() if column not in exact}
    alike = {
        column: free.pop(_spelling(column)) for column in columns if column not in exact and _spelling(column) in free
    }
    return exact | alike


def _spelling(name: str) -> str:
    return normalize("NFC", name).replace("\u00b5", "\u03bc")


def _constants(surveys: Sequence[Survey]) -> tuple[dict[str, str], list[str]]:
    """The text columns with one value for all events, and that value; and the names of all others."""
    chosen = [survey for survey in surveys if survey.n_events]
    found: dict[str, set[str | None]] = {}
    for survey in chosen:
        for column, values in survey.constants.items():
            found[column] = found.get(column, set()) | values
    constant = {column: next(iter(values)) for column, values in found.items() if len(values) == 1}
    varying = [column for column, values in found.items() if len(values) > 1]
    return {column: value for column, value in constant.items() if value}, varying


def _maxima(metadata: pq.FileMetaData, names: Mapping[str, pa.DataType]) -> dict[str, float]:
    """The largest value of each column, of those for which all row groups have statistics."""
    maxima: dict[str, float] = {}
    missing: set[str] = set()
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        for index in range(group.num_columns):
            column = group.column(index)
            name, statistics = column.path_in_schema, column.statistics
            if name not in names or (group.num_rows and statistics and statistics.null_count == group.num_rows):
                continue
            largest = statistics.max if statistics and statistics.has_min_max else None
            if isinstance(largest, int | float) and np.isfinite(largest):  # those of float16 come as bytes
                maxima[name] = max(float(largest), maxima.get(name, -np.inf))
            else:
                missing.add(name)
    return {name: largest for name, largest in maxima.items() if name not in missing}


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind))


def _texts(found: object) -> dict[str, str]:
    """What should be a table of texts; what is none is left out."""
    if not isinstance(found, Mapping):
        return {}
    return {key: value for key, value in found.items() if isinstance(key, str) and isinstance(value, str)}
