"""The picture of what memory a transform takes."""

from io import BytesIO

import pandas as pd
from matplotlib.figure import Figure

from .event_files import MILLION
from .memory import ONE_FILE

LINES = (
    ("together_mb", "0.6", "all processes, shared pages once"),
    ("worker_rss_mb", "C0", "the largest worker"),
    ("driver_rss_mb", "C1", "driver"),
)


def memory_figure(table: pd.DataFrame) -> bytes:
    """A PNG of ``measure_memory``'s table: the most memory held over the number of events."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    huge = table.index.str.startswith(ONE_FILE)
    for column, colour, label in LINES:
        axes.plot(table["events"][~huge] / MILLION, table[column][~huge], "o-", color=colour, label=label)
        axes.plot(table["events"][huge] / MILLION, table[column][huge], "x", color=colour)
    axes.set(xlabel="million events of 40 markers", ylabel="most memory held, MB", ylim=(0, None))
    axes.legend(title="○ many files   × one huge file")
    with BytesIO() as stream:
        figure.savefig(stream, format="png", dpi=150)
        return stream.getvalue()
