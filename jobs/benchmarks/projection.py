"""What a transform of very many cells takes and costs, on paper: from rates measured here, and stated assumptions."""

from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from .schedule import file_sizes, makespan, tasks_of


@dataclass(frozen=True)
class Rates:
    """What was measured.

    Attributes:
        events_per_core_s: Events that a worker edits in a second, while every other core has a worker, too.
        file_s: A worker's seconds for a file besides its events, on local storage.
        list_s: The driver's seconds to list a file, on local storage.
        driver_s: The processor's seconds of the driver for a file.
        ledger_calls_per_s: Notes of progress that their keeper takes.
        bytes_per_event: On storage, of input and output each.
    """

    events_per_core_s: float
    file_s: float
    list_s: float
    driver_s: float
    ledger_calls_per_s: float
    bytes_per_event: float


@dataclass(frozen=True)
class Requests:
    """Requests to an object store for each file, counted at a server for one of 300,000 events in three row groups.

    Attributes:
        driver_gets: Of the listing: the footer, and the size before it.
        worker_gets: Sizes and footer again, the receipt that is not there, one to fetch a row group.
        worker_puts: Start, five parts and end of an upload, its copy to its name, the receipt.
        in_turn: Of all the worker's, those that it waits for and does nothing else; deletions, which are free, too.
    """

    driver_gets: float = 3
    worker_gets: float = 7
    worker_puts: float = 9
    in_turn: float = 12


@dataclass(frozen=True)
class Assumptions:
    """What was not measured here; prices are Amazon's list prices in us-east-1, as of 2025, and yours to change.

    Attributes:
        events_per_file: The mean; an FCS file has 10⁵ to 10⁶.
        spread: Of the logarithm of the events of a file.
        events_per_block: A worker sends a note of progress for each.
        requests: For each file.
        latency_s: Of a request to S3 from its own region.
        listing_threads: Of the driver.
        gets_per_s: That S3 takes for one prefix; 5,500.
        puts_per_s: That S3 takes for one prefix; 3,500.
        bytes_per_core_s: Network in one direction, of a vCPU of the c7i family: 37.5 Gbit/s for 96.
        start_s: Until nodes are there and Ray runs on them.
        dollars_per_core_hour: c7i on demand; spot instances cost about a third.
        dollars_per_get: $0.0004 for 1,000.
        dollars_per_put: $0.005 for 1,000.
    """

    events_per_file: float = 300_000
    spread: float = 0.5
    events_per_block: float = 131_072
    requests: Requests = Requests()
    latency_s: float = 0.03
    listing_threads: int = 16
    gets_per_s: float = 5_500
    puts_per_s: float = 3_500
    bytes_per_core_s: float = 37.5e9 / 8 / 96
    start_s: float = 180
    dollars_per_core_hour: float = 0.0446
    dollars_per_get: float = 0.0004 / 1_000
    dollars_per_put: float = 0.005 / 1_000


@dataclass(frozen=True)
class Projection:
    """One number of events on one number of cores: seconds by cause, which follow one another, and dollars.

    Attributes:
        n_files: How many files that is.
        seconds: By cause; a cause that hides behind another one has only what it adds.
        dollars: Of cores and of requests.
    """

    n_files: int
    seconds: dict[str, float]
    dollars: tuple[float, float]

    @property
    def bottleneck(self) -> str:
        """The cause of most seconds."""
        return max(self.seconds, key=lambda cause: self.seconds[cause])


def project(n_events: float, n_cores: int, rates: Rates, assumed: Assumptions) -> Projection:
    """What a transform takes and costs.

    Cores wait for whichever is slower, edit or network, and then for requests in turn. The driver, the keeper of
    progress and the store's limits let no more files through than they can, however many cores there are. Tasks are
    handed out as Ray Data does (``schedule``); what that adds to an even share is ``the last tasks``.
    """
    n_files = max(round(n_events / assumed.events_per_file), 1)
    per_event = {"editing": 1 / rates.events_per_core_s, "network": rates.bytes_per_event / assumed.bytes_per_core_s}
    moving = max(per_event, key=lambda cause: per_event[cause])
    waiting_s = rates.file_s + assumed.requests.in_turn * assumed.latency_s
    sizes = file_sizes(n_files, n_events / n_files, assumed.spread)
    even_s = {moving: n_events * per_event[moving] / n_cores, "requests in turn": n_files * waiting_s / n_cores}
    done_s = makespan(tasks_of(sizes * per_event[moving] + waiting_s), n_cores)
    serial = _serial_s(n_files, n_events, rates, assumed)
    narrow = max(serial, key=lambda cause: serial[cause])
    seconds = {
        "start": assumed.start_s,
        "listing": n_files * _listing_s(rates, assumed),
        **even_s,
        "the last tasks": done_s - sum(even_s.values()),
        narrow: max(serial[narrow] - done_s, 0.0),
    }
    hours = sum(seconds.values()) / 3600
    return Projection(
        n_files, seconds, (hours * n_cores * assumed.dollars_per_core_hour, n_files * _request_dollars(assumed))
    )


def projected(
    events: Iterable[float], cores: Iterable[int], rates: Rates, assumed: Assumptions | None = None
) -> pd.DataFrame:
    """A row for each number of events and cores: files, minutes, what takes most of them, dollars, and all causes."""
    cores, assumed = list(cores), assumed or Assumptions()
    rows = []
    for n_events in events:
        for n_cores in cores:
            found = project(n_events, n_cores, rates, assumed)
            rows.append(
                {
                    "events": f"{n_events:.0e}",
                    "cores": n_cores,
                    "files": found.n_files,
                    "minutes": sum(found.seconds.values()) / 60,
                    "bottleneck": found.bottleneck,
                    "core_dollars": found.dollars[0],
                    "request_dollars": found.dollars[1],
                    **{f"{cause}_s": seconds for cause, seconds in found.seconds.items()},
                }
            )
    return pd.DataFrame(rows).fillna(0.0)


def _serial_s(n_files: int, n_events: float, rates: Rates, assumed: Assumptions) -> dict[str, float]:
    """Seconds in which each thing that all workers share lets all files through."""
    notes = 2 * n_files + n_events / assumed.events_per_block
    requests = assumed.requests
    return {
        "driver": n_files * rates.driver_s,
        "notes of progress": notes / rates.ledger_calls_per_s,
        "store's limit": n_files
        * max(requests.worker_gets / assumed.gets_per_s, requests.worker_puts / assumed.puts_per_s),
    }


def _listing_s(rates: Rates, assumed: Assumptions) -> float:
    return rates.list_s + assumed.requests.driver_gets * assumed.latency_s / assumed.listing_threads


def _request_dollars(assumed: Assumptions) -> float:
    requests = assumed.requests
    gets = requests.driver_gets + requests.worker_gets
    return gets * assumed.dollars_per_get + requests.worker_puts * assumed.dollars_per_put
