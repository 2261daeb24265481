"""What a benchmark prints: a table, and one line of JSON with its figures."""

from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True)
class Result:
    """A benchmark's outcome.

    Attributes:
        table: For people.
        figures: For programs; the last line on stdout.
    """

    table: pd.DataFrame
    figures: dict[str, float]
