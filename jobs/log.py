"""Log a run later: ``python jobs/log.py OUTPUT [--tracking-uri URI]``."""

import click

from neuronedit.adapters.cluster.command import Command
from neuronedit.adapters.registry.unlogged import log_kept


@click.command("log", cls=Command)
@click.argument("output")
@click.option("--tracking-uri", metavar="URI", help="MLflow's store; by default the one that the job had")
def main(output: str, tracking_uri: str | None) -> int:
    """Log the run of OUTPUT, the folder or URI that a job wrote, where MLflow did not answer when the job ended.

    What was to be logged lies in its _unlogged.json, which is removed; where there is none, nothing is done.

    Exit status: 0 where nothing is left to log, 2 where MLflow does not answer or has no such run.
    """
    print(log_kept(output, tracking_uri))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
