"""Trace an output: ``python jobs/lineage.py OUTPUT [--json] [--tracking-uri URI]``."""

import json
import sys

import click

from neuronedit.adapters.cluster.command import Command
from neuronedit.adapters.registry.lineage import trace_output
from neuronedit.errors import masked


@click.command("lineage", cls=Command)
@click.argument("output")
@click.option("--json", "as_json", is_flag=True, help="as JSON")
@click.option("--tracking-uri", metavar="URI", help="MLflow's store; by default the one in the manifest")
def main(output: str, as_json: bool, tracking_uri: str | None) -> int:
    """Trace OUTPUT, the folder or URI that ingest, transform or export wrote, to its model, data, review and parents.

    Exit status: 0 where every link holds, 1 where one is broken, 2 where there is no manifest.
    """
    trail = trace_output(output, tracking_uri)
    print(masked(json.dumps(trail.to_json(), indent=2, ensure_ascii=False) if as_json else trail.tree()))
    for problem in trail.broken:
        sys.stderr.write(f"neuronedit lineage: broken: {masked(problem)}\n")
    return 1 if trail.broken else 0


if __name__ == "__main__":
    raise SystemExit(main())
