"""FCS files and their sample sheet become a Parquet dataset of raw intensities."""

from neuronedit.adapters.fcs.ingest import QUARANTINE, IngestConfig, ingest
from neuronedit.command import JobCommand


def job(config: IngestConfig) -> int:
    """FCS files and their sample sheet become a Parquet dataset of raw intensities."""
    report = ingest(config)
    print(f"{config.output}: {report.events:,} events of {report.files} files")
    if report.quarantined:
        print(f"quarantined {len(report.quarantined)} files: see {config.output}/{QUARANTINE}")
    return 3 if report.quarantined else 0


main = JobCommand("ingest", IngestConfig, job)


if __name__ == "__main__":
    raise SystemExit(main())
