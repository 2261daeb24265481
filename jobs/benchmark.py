"""Measure: ``python jobs/benchmark.py NAME [--quick]``."""

import argparse
import json
from collections.abc import Sequence
from importlib import import_module

BENCHMARKS = {"transform": "events per CPU-second, against the floors and a plain process"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one benchmark: print its table and, as the last line on stdout, its figures as JSON."""
    parser = argparse.ArgumentParser(prog="benchmark.py", description=main.__doc__)
    parser.add_argument("name", choices=BENCHMARKS, help="; ".join(f"{k}: {v}" for k, v in BENCHMARKS.items()))
    parser.add_argument("--quick", action="store_true", help="small data: ends within 60 s on 2 cores")
    arguments = parser.parse_args(argv)
    result = import_module(f"neuronedit_jobs.benchmarks.{arguments.name}").run(arguments.quick)
    print(result.table.to_string())
    print(json.dumps({name: round(value, 3) for name, value in result.figures.items()}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
