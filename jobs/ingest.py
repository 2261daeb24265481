"""FCS files and their sample sheet become a Parquet dataset of raw intensities."""

from typing import Literal, Self

from pydantic import Field, PositiveInt, model_validator

from neuronedit.adapters.cluster.command import JobCommand
from neuronedit.adapters.cluster.session import RayConfig
from neuronedit.adapters.fcs.columns import Passengers
from neuronedit.adapters.fcs.data import Offsets
from neuronedit.adapters.fcs.sample_sheet import read_sample_sheet
from neuronedit.adapters.ingest.ingester import ingest_files
from neuronedit.adapters.ingest.manifest import complete_ingest, ingest_plan, ingest_summary, replace_record
from neuronedit.adapters.ingest.survey import IngestChoices, Survey
from neuronedit.adapters.transform.output_folder import claimed_output
from neuronedit.config import Config
from neuronedit.errors import masked


class IngestConfig(Config):
    """FCS files and their sample sheet → a Parquet dataset of raw intensities."""

    sample_sheet: str = Field(
        description="CSV or .xlsx: columns 'file', 'sample_id', 'batch_id', and any others (role, condition, …)"
    )
    fcs_folder: str | None = Field(None, description="where the sheet's files lie; by default beside the sheet")
    panel: str | None = Field(
        None,
        description="CSV or .xlsx: channel, marker, role, transform, cofactor; by default each channel's own ($PnS)",
    )
    output: str = Field(description="the folder or URI of the Parquet dataset to write")
    compensate: bool = Field(
        False,
        description="apply the spillover matrix stored in each file (flow cytometry); false, where it is given, says "
        "that a matrix in the files is left out on purpose",
    )
    spillover: str | None = Field(
        None, description="CSV of a spillover matrix to compensate all files with, in place of their own"
    )
    passengers: Passengers = Field(
        "common",
        description="channels outside the panel: keep those that all files have, all (empty where a file has none), "
        "or none",
    )
    labels: Literal["check", "ignore"] = Field(
        "check",
        description="check: a file whose own label of a channel ($PnS) is another marker of the panel is an error",
    )
    offsets: Offsets = Field(
        "auto", description="where DATA lies, if an FCS file's HEADER and TEXT differ: auto takes what fits $TOT"
    )
    data_set: int | None = Field(
        None, ge=1, description="which data set of files that have several; by default the first, with a warning"
    )
    on_error: Literal["fail", "quarantine"] = Field(
        "fail",
        description="quarantine: list files that cannot be used in _quarantine.json, go on, and exit with status 3",
    )
    overwrite: bool = Field(False, description="replace the output of an earlier ingest")
    resume: bool = Field(False, description="continue an ingest that was stopped: finished files are kept")
    workers: PositiveInt | None = Field(
        None,
        description="actors at most; by default one per core that is free at the start, and none for FCS files of less "
        "than 256 MB together, which are ingested sooner than Ray starts",
    )
    ray: RayConfig = Field(RayConfig(), description="where it runs")

    @model_validator(mode="after")
    def _no_contradiction(self) -> Self:
        if self.spillover and "compensate" in self.model_fields_set and not self.compensate:
            raise ValueError("spillover is a matrix to compensate with, and compensate is false; leave one out")
        if self.passengers != "common" and not self.panel:
            raise ValueError(f"passengers = {self.passengers} are channels outside a panel; give a panel")
        return self

    def choices(self) -> IngestChoices:
        """What decides how files are read."""
        return IngestChoices(
            panel=self.panel,
            passengers=self.passengers,
            labels=self.labels,
            compensate=self.compensate,
            spillover=self.spillover,
            silent="compensate" in self.model_fields_set,
            offsets=self.offsets,
            data_set=self.data_set,
            quarantine=self.on_error == "quarantine",
        )


def job(config: IngestConfig) -> int:
    """FCS files and their sample sheet become a Parquet dataset of raw intensities, a file for each."""
    choices = config.choices()
    given = choices.read_panel()
    rows = read_sample_sheet(config.sample_sheet, config.fcs_folder, given.panel.markers if given else ())
    survey = Survey.of(config.sample_sheet, rows, choices, given)
    plan = ingest_plan(survey)
    replace_record(config.output, overwrite=config.overwrite, resume=config.resume)
    with claimed_output(config.output, plan, {}, overwrite=config.overwrite, resume=config.resume) as output:
        receipts = ingest_files(survey.items, output, survey.rules, config.workers, config.ray)
        manifest = complete_ingest(survey, plan, receipts, config.flat(), output)
    print(ingest_summary(manifest, masked(config.output)))
    return 3 if manifest["left_out"] else 0


main = JobCommand("ingest", IngestConfig, job, remedy="Finished files stand: run again with resume = true.")


if __name__ == "__main__":
    raise SystemExit(main())
