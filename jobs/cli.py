"""The console script ``neuronedit``: its subcommands are the jobs."""

import sys
from importlib import import_module

import neuronedit

JOBS = {
    "ingest": "FCS files and their sample sheet to a Parquet dataset",
    "train": "train the autoencoder, fit the edits, register the model",
    "update": "add new batches to a model, whose other edits stay",
    "transform": "apply a pinned model to a Parquet dataset",
    "verify": "check a transform's output against its manifest",
    "review": "show what a model learned, and how well it does",
    "promote": "give an alias to a version that has passed its review",
    "compare": "show what differs between two models, and how both do on the same cells",
    "lineage": "trace an output to its model, the data that it learned from, and its review",
    "evaluate": "compare edited events with their measured truth, whatever edited them",
    "combine": "predict two treatments together from the edits of each, beside what was measured",
}


def main() -> int:
    """Run the job that the first argument names."""
    arguments = sys.argv[1:]
    usage = (
        "usage: neuronedit JOB CONFIG.toml [--set section.key=value ...]\n"
        "       neuronedit verify OUTPUT | lineage OUTPUT | promote NAME VERSION | compare FIRST SECOND\n\njobs:\n"
        + "\n".join(f"  {name:10} {meaning}" for name, meaning in JOBS.items())
    )
    if arguments[:1] == ["--version"]:
        print(f"neuronedit {neuronedit.__version__}")
        return 0
    if not arguments or arguments[0] in ("-h", "--help"):
        print(f"{usage}\n\n`neuronedit JOB --help` explains every setting of a job.")
        return 0 if arguments else 2
    if arguments[0] not in JOBS:
        sys.stderr.write(f"neuronedit: there is no job {arguments[0]!r}\n{usage}\n")
        return 2
    # Imported only now: Ray, torch and MLflow take seconds, and --help should not.
    status: int = import_module(f"neuronedit_jobs.{arguments[0]}").main(arguments[1:])
    return status
