"""The columns that the channels of FCS files become: by a panel, or by the files' own labels."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from neuronedit.adapters.fcs.file import FcsFile
from neuronedit.cells.names import comparable
from neuronedit.cells.panel import IGNORE, Panel
from neuronedit.errors import DataError, PanelError, listing, nearest_name

Passengers = Literal["common", "all", "none"]


@dataclass(frozen=True)
class PanelFile:
    """A panel, and where it was read.

    Attributes:
        panel: The markers.
        channels: The panel's marker for each channel that it names.
        check_labels: Whether the files' labels may not contradict it.
    """

    panel: Panel
    channels: Mapping[str, str]
    check_labels: bool


def channel_columns(fcs: FcsFile, given: PanelFile | None, where: str) -> dict[str, str]:
    """The column's name for each channel of a file, in the file's order.

    Args:
        fcs: The file.
        given: The markers to name; without one every channel gets its marker name ($PnS). Markers that have no channel
            in the panel are looked up by $PnS. What is to be ignored is named, too, but need not be there.
        where: The file, for the message.

    Raises:
        PanelError: A channel or marker of the panel is missing, two channels would get one name, or the file's label
            of a channel is another marker of the panel.
    """
    if given is None:
        return dict(zip(fcs.channels, fcs.markers, strict=True))
    channel_of = {comparable(channel): channel for channel in fcs.channels}
    _check_channels(fcs, given, channel_of, where)
    by_label = [marker for marker in given.panel.markers if marker not in given.channels.values()]
    stained = {comparable(marker): channel for channel, marker in zip(fcs.channels, fcs.markers, strict=True)}
    missing = [marker for marker in by_label if comparable(marker) not in stained]
    if missing:
        raise PanelError(_absent("marker", missing, by_label, fcs.markers, where))
    by_channel = {
        channel_of[comparable(channel)]: marker
        for channel, marker in given.channels.items()
        if comparable(channel) in channel_of
    }
    if given.check_labels:
        _check_labels(fcs, given.panel, by_channel, where)
    ignored = {name for name, role in given.panel.roles.items() if role == IGNORE} - {*given.channels.values()}
    by_name = [name for name in (*ignored, *by_label) if comparable(name) in stained]
    marker_of = {stained[comparable(name)]: name for name in by_name} | by_channel
    columns = {channel: marker_of.get(channel, channel) for channel in fcs.channels}
    claimed = [channel for channel, name in columns.items() if name in given.panel.markers]
    if len(claimed) != given.panel.n_markers or len(set(columns.values())) != len(columns):
        repeated = sorted({name for name in columns.values() if [*columns.values()].count(name) > 1})
        fault = f"{listing(repeated)} stands for two" if repeated else "a channel stands for two markers"
        raise PanelError(
            f"{where}: expected the panel to give each channel a name of its own; {fault}. "
            "Correct the panel's channel and marker columns."
        )
    return columns


def check_same_columns(names: Sequence[str], first: Sequence[str], where: str, first_where: str) -> None:
    """Check that a file has the columns of the first one, in any order.

    Raises:
        DataError: It lacks or adds some.
    """
    here, there = set(map(comparable, names)), set(map(comparable, first))
    missing = [name for name in first if comparable(name) not in here]
    surplus = [name for name in names if comparable(name) not in there]
    if missing or surplus:
        faults = [f"it lacks {listing(missing)}"] * bool(missing) + [f"it adds {listing(surplus)}"] * bool(surplus)
        raise DataError(
            f"{where}: expected the {len(first)} channels of {first_where}; {' and '.join(faults)}. "
            "Ingest files of different panels separately, or give a panel file of the markers that they share."
        )


def choose_passengers(
    columns: Mapping[str, Sequence[str]], markers: Sequence[str], passengers: Passengers
) -> tuple[list[str], dict[str, list[str]]]:
    """Choose which columns files with a common panel get.

    Args:
        columns: The names of each file's columns.
        markers: Those of the panel.
        passengers: Which others: those that all files have, all, or none.

    Returns:
        The names, in the first files' order; and by the name of each column that not every file has, the files that
        have it.
    """
    known: dict[str, str] = {}
    having: dict[str, list[str]] = {}
    for file, names in columns.items():
        for name in names:
            known.setdefault(comparable(name), name)
            having.setdefault(comparable(name), []).append(file)
    partial = {known[key]: files for key, files in having.items() if len(files) < len(columns)}
    names = [
        name
        for name in known.values()
        if name in markers or passengers == "all" or (passengers == "common" and name not in partial)
    ]
    return names, partial


def labels_of(fcs: FcsFile) -> dict[str, str]:
    """What the file itself says that each channel measures; left out where it only repeats a channel's name."""
    own = set(map(comparable, fcs.channels))
    return {
        channel.name: channel.label
        for channel in fcs.described
        if channel.label and comparable(channel.label) not in own
    }


def is_named(marker: str, label: str) -> bool:
    """Whether a label is a marker's name, or has it as a word: ``142Nd_CD19``, ``CD19 BV421``."""
    name, text = comparable(marker).casefold(), comparable(label).casefold()
    word = rf"(?<![^\W_]){re.escape(name)}(?![^\W_]|\+)"
    return bool(re.search(word, text)) or re.sub(r"[\W_]", "", name) == re.sub(r"[\W_]", "", text)


def _check_channels(fcs: FcsFile, given: PanelFile, channel_of: Mapping[str, str], where: str) -> None:
    wanted = [channel for channel, marker in given.channels.items() if marker in given.panel.markers]
    missing = [channel for channel in wanted if comparable(channel) not in channel_of]
    if not missing:
        return
    moved = [
        (given.channels[channel], other)
        for channel in missing
        for other, label in labels_of(fcs).items()
        if is_named(given.channels[channel], label) and other not in given.channels
    ]
    found = f"The file's own label of channel {moved[0][1]!r} is {moved[0][0]!r}: leave the channel" if moved else ""
    hint = f" {found} of {moved[0][0]!r} empty in the panel to find it by its label in each file." if moved else ""
    raise PanelError(_absent("channel", missing, wanted, fcs.channels, where) + hint)


def _check_labels(fcs: FcsFile, panel: Panel, by_channel: Mapping[str, str], where: str) -> None:
    labels = labels_of(fcs)
    for channel, marker in by_channel.items():
        label = labels.get(channel, "")
        others = [other for other in panel.markers if other != marker and is_named(other, label)]
        if others and not is_named(marker, label):
            raise PanelError(
                f"{where}: the panel says that channel {channel!r} is {marker!r}; the file's own label ($PnS) says "
                f"{label!r}, which the panel has as another marker. Correct the panel, or leave its channels empty to "
                "go by the labels; where the labels are wrong, set labels = ignore."
            )


def _absent(noun: str, missing: Sequence[str], wanted: Sequence[str], found: Sequence[str], where: str) -> str:
    named = f"{noun} {missing[0]!r} is" if len(missing) == 1 else f"{noun}s {listing(missing)} are"
    return (
        f"{where}: {named} missing (the panel has {len(wanted)} {noun}s; this file has "
        f"{len(wanted) - len(missing)} of them{nearest_name(missing[0], set(found) - set(wanted))}). "
        "Correct the panel, or drop the file from the sample sheet."
    )
