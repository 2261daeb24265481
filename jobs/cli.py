"""The console script ``neuronedit``: its subcommands are the jobs."""

import os
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import click

import neuronedit
from neuronedit.adapters.cluster.command import run

JOBS = {
    "normalise": "FCS files to corrected FCS files, a review and a summary: the jobs below in one",
    "channels": "list the channels of FCS files, and write a panel to fill in",
    "ingest": "FCS files and their sample sheet to a Parquet dataset",
    "train": "train the autoencoder, fit the edits, register the model",
    "update": "add new batches to a model, whose other edits stay",
    "transform": "apply a pinned model to a Parquet dataset",
    "export": "FCS files of a Parquet dataset, for FlowJo, Cytobank, OMIQ and R",
    "log": "log the run of an output that was complete when MLflow did not answer",
    "verify": "check the output of ingest, transform or export against its manifest",
    "review": "show what a model learned, and how well it does",
    "promote": "give an alias to a version that has passed its review",
    "compare": "show what differs between two models, and how both do on the same cells",
    "lineage": "trace an output to its model, the data that it learned from, and its review",
    "evaluate": "compare edited events with their measured truth, whatever edited them",
    "combine": "predict two treatments together from the edits of each, beside what was measured",
}

COMPLETE = "_NEURONEDIT_COMPLETE"
"""The environment variable by which a shell asks for completions, or for the script that has it ask."""


class Job(click.Command):
    """A job's name and meaning; its module is imported when it is called, since Ray, torch and MLflow take seconds."""

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Hand the arguments to the job's own command."""
        command: click.Command = import_module(f"neuronedit_jobs.{self.name}").main
        return command.make_context(*args, **kwargs)


class Jobs(click.Group):
    """The jobs, in the order in which they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the jobs."""
        return list(JOBS)


@click.group(cls=Jobs, commands=[Job(name, short_help=meaning) for name, meaning in JOBS.items()])
@click.version_option(neuronedit.__version__, message="%(prog)s %(version)s")
def jobs() -> None:
    """Learn a change between two cell populations, and apply it to others.

    A job takes its settings from CONFIG.toml, from options and from --set section.key=value;
    `neuronedit JOB --help` explains all of them.
    """


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job that the first argument names; or, where a shell asks for it, complete what was typed."""
    if COMPLETE in os.environ:
        jobs.main(prog_name="neuronedit", complete_var=COMPLETE)
    return run(jobs, "neuronedit", argv)


if __name__ == "__main__":
    raise SystemExit(main())
