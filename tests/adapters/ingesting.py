"""An ingest as the job does it, by one worker in this process."""

from dataclasses import dataclass

from neuronedit_jobs.ingest import IngestConfig

from neuronedit.adapters.fcs.sample_sheet import read_sample_sheet
from neuronedit.adapters.ingest.ingester import FcsIngester
from neuronedit.adapters.ingest.manifest import complete_ingest, ingest_plan, replace_record
from neuronedit.adapters.ingest.survey import Survey
from neuronedit.adapters.transform.output_folder import claimed_output


@dataclass(frozen=True)
class Report:
    """Numbers of files and events that were written, and names of those that were not."""

    files: int
    events: int
    quarantined: tuple[str, ...]


def ingest(config: IngestConfig, worker: type = FcsIngester) -> Report:
    """What the job does but for Ray."""
    choices = config.choices()
    given = choices.read_panel()
    rows = read_sample_sheet(config.sample_sheet, config.fcs_folder, given.panel.markers if given else ())
    survey = Survey.of(config.sample_sheet, rows, choices, given)
    plan = ingest_plan(survey)
    replace_record(config.output, overwrite=config.overwrite, resume=config.resume)
    with claimed_output(config.output, plan, {}, overwrite=config.overwrite, resume=config.resume) as output:
        ingester = worker(output, survey.rules)
        receipts = [ingester.ingest(item) for item in survey.items]
        manifest = complete_ingest(survey, plan, receipts, config.flat(), output)
    left_out = tuple(entry["file"] for entry in manifest["left_out"])
    return Report(len(manifest["outputs"]), manifest["events"], left_out)
