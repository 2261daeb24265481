"""FCS files and their sample sheet, or an h5ad file, become a Parquet dataset of raw intensities."""

from collections.abc import Mapping
from typing import Literal, Self

from pydantic import Field, PositiveInt, model_validator

from neuronedit.adapters.cluster.command import JobCommand
from neuronedit.adapters.cluster.session import RayConfig
from neuronedit.adapters.fcs.columns import Passengers
from neuronedit.adapters.fcs.data import Offsets
from neuronedit.adapters.fcs.sample_sheet import read_sample_sheet
from neuronedit.adapters.ingest.h5ad import H5adIngester, survey_h5ad
from neuronedit.adapters.ingest.ingester import ingest_files
from neuronedit.adapters.ingest.manifest import complete_ingest, ingest_plan, ingest_summary, replace_record
from neuronedit.adapters.ingest.survey import IngestChoices, Survey
from neuronedit.adapters.transform.output_folder import claimed_output
from neuronedit.config import Config
from neuronedit.errors import listing, masked

_OWN: Mapping[str, tuple[str, ...]] = {
    "fcs": (
        *("sample_sheet", "fcs_folder", "panel", "compensate", "spillover", "passengers", "labels", "offsets"),
        *("data_set", "on_error", "workers"),
    ),
    "h5ad": ("file", "layer"),
}
"""By kind of file, the settings that are of it alone; the first of them is needed."""


class IngestConfig(Config):
    """FCS files and their sample sheet, or an h5ad file → a Parquet dataset of raw intensities."""

    from_: Literal["fcs", "h5ad"] = Field(
        "fcs", alias="from", description="fcs: FCS files that a sample sheet lists; h5ad: a file of AnnData"
    )
    sample_sheet: str | None = Field(
        None, description="CSV or .xlsx: columns 'file', 'sample_id', 'batch_id', and any others (role, condition, …)"
    )
    file: str | None = Field(None, description="the h5ad file, where from = h5ad; columns of obs become columns")
    layer: str | None = Field(None, description="the layer of the h5ad file to read; by default X")
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
        needed = _OWN[self.from_][0]
        if getattr(self, needed) is None:
            raise ValueError(f"from is {self.from_}, and the key {needed!r} is missing; give --set {needed}=VALUE")
        others = [key for kind, keys in _OWN.items() if kind != self.from_ for key in keys]
        if foreign := [key for key in others if key in self.model_fields_set]:
            raise ValueError(
                f"from is {self.from_}, and {listing(foreign)} is for the other kind of file; leave it out"
            )
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
    """FCS files and their sample sheet, or an h5ad file, become a Parquet dataset of raw intensities."""
    survey = survey_h5ad(config.file, config.layer) if config.file else _survey_of_fcs(config)
    plan = ingest_plan(survey)
    replace_record(config.output, overwrite=config.overwrite, resume=config.resume)
    with claimed_output(config.output, plan, {}, overwrite=config.overwrite, resume=config.resume) as output:
        if config.file:
            receipts = [H5adIngester(output, survey.rules).ingest(item) for item in survey.items]
        else:
            receipts = ingest_files(survey.items, output, survey.rules, config.workers, config.ray)
        manifest = complete_ingest(survey, plan, receipts, config.flat(), output)
    print(ingest_summary(manifest, masked(config.output)))
    return 3 if manifest["left_out"] else 0


def _survey_of_fcs(config: IngestConfig) -> Survey:
    choices, sheet = config.choices(), str(config.sample_sheet)
    given = choices.read_panel()
    rows = read_sample_sheet(sheet, config.fcs_folder, given.panel.markers if given else ())
    return Survey.of(sheet, rows, choices, given)


main = JobCommand("ingest", IngestConfig, job, remedy="Finished files stand: run again with resume = true.")


if __name__ == "__main__":
    raise SystemExit(main())
