"""FCS files and their sample sheet become a Parquet dataset of raw intensities."""

from collections.abc import Sequence

from neuronedit.adapters.ingest import QUARANTINE, IngestConfig, ingest
from neuronedit.command import run_job


def job(config: IngestConfig) -> int:
    """FCS files and their sample sheet become a Parquet dataset of raw intensities."""
    report = ingest(config)
    print(f"{config.output}: {report.events:,} events of {report.files} files")
    if report.quarantined:
        print(f"quarantined {len(report.quarantined)} files: see {config.output}/{QUARANTINE}")
    return 3 if report.quarantined else 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job from the command line."""
    return run_job("ingest", IngestConfig, job, argv)


if __name__ == "__main__":
    raise SystemExit(main())
