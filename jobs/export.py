"""Write FCS files of edited Parquet: ``python jobs/export.py CONFIG.toml --set section.key=value``."""

from typing import Literal, Self

from pydantic import Field, PositiveInt, field_validator, model_validator

from neuronedit.adapters.cluster.command import JobCommand
from neuronedit.adapters.cluster.session import RayConfig, ray_session
from neuronedit.adapters.export.exporter import Exporter, ExportRules
from neuronedit.adapters.export.manifest import (
    export_items,
    export_summary,
    make_export_manifest,
    transform_manifest,
)
from neuronedit.adapters.files.dataset import DataConfig, check_unchanged, list_dataset
from neuronedit.adapters.h5ad.writing import H5AD, h5py_module
from neuronedit.adapters.transform.output_folder import claimed_output
from neuronedit.adapters.transform.plan import EXPORT, TransformPlan
from neuronedit.adapters.transform.pool import worked
from neuronedit.cells.selection import Where
from neuronedit.config import Config
from neuronedit.errors import masked


class ExportConfig(Config):
    """Write an FCS 3.1 file for each file of a Parquet dataset, or one h5ad file of all."""

    data: DataConfig = Field(description="the events to write, such as the output of transform")
    output: str = Field(description="the folder or URI to write the files to")
    to: Literal["fcs", "h5ad"] = Field(
        "fcs",
        description="fcs: an FCS file for each Parquet file; h5ad: one file of all events for AnnData, cells.h5ad",
    )
    prefix: str = Field("Norm_", description="stands before the name of each FCS file")
    where: Where = Field({}, description='write only events with these column values, e.g. {role = "patient"}')
    leave_out: tuple[str, ...] = Field((), description="columns that are not written")
    csv: bool = Field(False, description="write the same numbers as CSV, too, beside each FCS file")
    overwrite: bool = Field(False, description="replace the output of an earlier export")
    resume: bool = Field(False, description="continue an export that was stopped: finished files are kept")
    workers: PositiveInt | None = Field(
        None, description="actors at most; by default one per core that is free at the start"
    )
    ray: RayConfig = Field(RayConfig(), description="where it runs")

    @field_validator("prefix")
    @classmethod
    def _names_files(cls, prefix: str) -> str:
        if "/" in prefix or prefix.startswith((".", "_")):
            raise ValueError("no slash, and no dot or underscore at the start: readers skip such files")
        return prefix

    @model_validator(mode="after")
    def _no_contradiction(self) -> Self:
        if self.csv and self.to == "h5ad":
            raise ValueError("csv stands beside FCS files, and to is h5ad; leave one out")
        return self

    @property
    def as_one(self) -> str:
        """The name of the one file that all events become, where they do."""
        return f"cells{H5AD}" if self.to == "h5ad" else ""

    def rules(self) -> ExportRules:
        """The events and columns to write."""
        return ExportRules(self.where, self.leave_out)

    def settings(self) -> dict[str, object]:
        """The settings that decide the output's bits."""
        return self.model_dump(include={"to", "prefix", "where", "leave_out", "csv"}) | {"job": EXPORT}


def job(config: ExportConfig) -> int:
    """Write an FCS 3.1 file for each file of a Parquet dataset, with its markers' and other numbers; or one h5ad."""
    if config.to == "h5ad":
        h5py_module("to = h5ad")
    inputs = list_dataset(config.data.path)
    transform = transform_manifest(config.data.path, inputs)
    items = export_items(inputs, config.prefix, transform, csv=config.csv, as_one=config.as_one)
    plan = TransformPlan(EXPORT, "", config.settings(), inputs, EXPORT)
    claim = claimed_output(config.output, plan, {}, overwrite=config.overwrite, resume=config.resume)
    with claim as output, ray_session(config.ray):
        arguments = {"filesystem": inputs.filesystem, "output": output, "rules": config.rules()}
        n_events = sum(item.n_events for item in items)
        receipts = list(worked(Exporter, arguments, items, n_events, config.workers))
        check_unchanged(inputs)
        manifest = make_export_manifest(plan, items, receipts, transform, config.flat(), output)
        output.complete(manifest, receipts)
    print(export_summary(manifest, masked(config.output)))
    return 0


main = JobCommand("export", ExportConfig, job, remedy="Finished files stand: run again with resume = true.")


if __name__ == "__main__":
    raise SystemExit(main())
