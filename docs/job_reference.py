"""Sphinx extension: the reference of commands and settings, written from the jobs' docstrings and configurations."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, get_type_hints

from neuronedit_jobs.cli import JOBS
from pydantic import BaseModel

PAGES = ("cli.md", "settings.md")
ROOT = Path(__file__).resolve().parents[1]
Schema = Mapping[str, Any]

CLI_HEAD = """# Commands

    neuronedit JOB CONFIG.toml --set section.key=value …

Settings come from a TOML file, from `--set`, and, for those outside a section, from options: `--on-error quarantine`
is `--set on_error=quarantine`. An option wins over `--set`, `--set` over the file. An unknown key is an error that
names the nearest known one. `neuronedit JOB --help` explains every setting of a job, `--verbose` logs more,
`neuronedit --version` prints the version. On a cluster, `python jobs/JOB.py` takes the same arguments.

| exit status | meaning |
| --- | --- |
| 0 | done |
| 1 | `verify`: a file differs; `lineage`: a link is broken; any job: an error of the program, with a traceback |
| 2 | something that you can mend, told in one message |
| 3 | done without what was quarantined |
| 4 | the output is complete, as with 0 or 3, but MLflow did not take its run: `neuronedit log OUTPUT` does that later |
| 130, 143 | stopped by Ctrl-C, by SIGTERM: one line says what stands |
"""

SETTINGS_HEAD = """# Settings

Every setting of every job, as its configuration declares it. In a TOML file a key `section.key` is `key` in the table
`[section]`. *required* keys have no default; *unset* is a default that no value stands for.
"""


@dataclass(frozen=True)
class Job:
    """One command of the console script; ``config`` is None where it reads no configuration."""

    name: str
    summary: str
    usage: str
    description: str
    config: type[BaseModel] | None

    @property
    def example(self) -> Path:
        """The commented TOML file that comes with the job, where there is one."""
        return ROOT / "jobs" / f"{self.name}.toml"


@dataclass(frozen=True)
class Setting:
    """One key of a section: its type and default as Markdown, its description as plain text."""

    key: str
    type: str
    default: str
    description: str


@dataclass(frozen=True)
class Section:
    """Settings that share a table; ``name`` is empty for a job's top level."""

    name: str
    description: str
    settings: list[Setting]


def find_jobs() -> list[Job]:
    """All jobs, in the console script's order: the one place that knows where jobs and their configurations are."""
    return [_job(name, summary, import_module(f"neuronedit_jobs.{name}")) for name, summary in JOBS.items()]


def sections(config: type[BaseModel]) -> list[Section]:
    """A configuration's sections, its top level first."""
    schema = config.model_json_schema()
    return list(_sections("", schema, {}, schema.get("$defs", {})))


def cli_page(jobs: list[Job]) -> str:
    """The page of commands, as MyST Markdown."""
    rows = [f"| [`{job.name}`](#{job.name}) | {_escaped(job.summary)} |" for job in jobs]
    table = "\n".join(["| job | does |", "| --- | --- |", *rows])
    return "\n\n".join([CLI_HEAD.strip(), table, *(_command(job) for job in jobs)]) + "\n"


def settings_page(jobs: list[Job]) -> str:
    """The page of settings, as MyST Markdown."""
    parts = [SETTINGS_HEAD.strip()]
    for job in jobs:
        if job.config is None:
            continue
        parts.append(f"## {job.name}\n\n{_escaped(job.description)}")
        for section in sections(job.config):
            if section.name:
                parts.append(f"### {job.name}: {section.name}\n\n{_escaped(section.description)}")
            parts.append(_table(section.settings))
    return "\n\n".join(parts) + "\n"


def write_reference(folder: Path) -> None:
    """Write both pages; a page that would not change is left alone, so that Sphinx does not read it again."""
    folder.mkdir(exist_ok=True)
    jobs = find_jobs()
    for name, text in zip(PAGES, (cli_page(jobs), settings_page(jobs)), strict=True):
        page = folder / name
        if not page.is_file() or page.read_text(encoding="utf-8") != text:
            page.write_text(text, encoding="utf-8")


def setup(app: Any) -> dict[str, bool]:
    """Have Sphinx write the pages before it looks for sources."""
    app.connect("builder-inited", lambda app: write_reference(Path(app.srcdir) / "reference"))
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _job(name: str, summary: str, module: ModuleType) -> Job:
    told = re.search(rf"``python jobs/{name}\.py (.+?)``", module.__doc__ or "")
    usage = f"neuronedit {name} {told[1] if told else 'CONFIG.toml --set section.key=value'}"
    job = getattr(module, "job", None)
    config = get_type_hints(job).get("config") if job else None
    return Job(name, summary, usage, _paragraph(job or module.main), config)


def _paragraph(documented: Any) -> str:
    return " ".join((documented.__doc__ or "").split("\n\n")[0].split())


def _command(job: Job) -> str:
    parts = [f"## {job.name}", f"    {job.usage}", _escaped(job.description)]
    if job.config is not None:
        top = sections(job.config)[0].settings
        options = [f"`--{s.key.replace('_', '-')}`" for s in top if s.type not in ("section", "table")]
        parts.append(f"Options: {', '.join(options)}." if options else "All settings stand in sections.")
        parts.append(f"[All settings of `{job.name}`](settings.md#{job.name}).")
    if job.example.is_file():
        path = f"../../jobs/{job.example.name}"
        parts.append(f"Its commented example, `jobs/{job.example.name}`:")
        parts.append(f"```{{literalinclude}} {path}\n:language: toml\n```")
    return "\n\n".join(parts)


def _table(settings: list[Setting]) -> str:
    rows = [f"| `{s.key}` | {s.type} | {s.default} | {_escaped(s.description)} |" for s in settings]
    return "\n".join(["| key | type | default | meaning |", "| --- | --- | --- | --- |", *rows])


def _sections(prefix: str, schema: Schema, given: Mapping[str, Any], defs: Schema) -> Iterator[Section]:
    """The section of a schema, then those within it; ``given`` are defaults that its parent sets."""
    fields = schema["properties"]
    defaults = {name: given.get(name, field.get("default")) for name, field in fields.items()}
    required = set(schema.get("required", ())) - given.keys()
    required |= {name for name, field in fields.items() if "const" in field}  # it chooses between sections
    settings = [
        Setting(
            f"{prefix}{name}",
            _type(field),
            "*required*" if name in required else _default(field, defaults[name]),
            field.get("description", ""),
        )
        for name, field in fields.items()
    ]
    tag = next((f", {name} = {field['const']}" for name, field in fields.items() if "const" in field), "")
    yield Section(f"{prefix.rstrip('.')}{tag}", _paragraph_of(schema), settings)
    for name, field in fields.items():
        inner = defaults[name] if isinstance(defaults[name], dict) else {}
        for reference in _references(field):
            yield from _sections(f"{prefix}{name}.", defs[reference], inner, defs)


def _paragraph_of(schema: Schema) -> str:
    return " ".join(schema.get("description", "").split("\n\n")[0].split())


def _references(field: Schema) -> list[str]:
    if "$ref" in field:
        return [field["$ref"].rpartition("/")[2]]
    parts = [*field.get("anyOf", ()), *field.get("oneOf", ()), *([field["items"]] if "items" in field else ())]
    return [reference for part in parts for reference in _references(part)]


def _type(field: Schema) -> str:
    if "$ref" in field:
        return "section"
    if alternatives := field.get("anyOf") or field.get("oneOf"):
        return " or ".join(dict.fromkeys(_type(part) for part in alternatives if part.get("type") != "null"))
    if choices := field.get("enum") or ("const" in field and [field["const"]]):
        return " or ".join(f"`{json.dumps(choice)}`" for choice in choices)
    if field["type"] == "array":
        inner = _type(field["items"])
        return "list of tables" if inner == "section" else f"list of ({inner})" if " " in inner else f"list of {inner}"
    names = {"string": "text", "integer": "integer", "boolean": "true or false", "object": "table"}
    bounds = {"minimum": "≥", "exclusiveMinimum": "\\>", "maximum": "≤", "exclusiveMaximum": "\\<"}
    limits = [f"{sign} {field[bound]:g}" for bound, sign in bounds.items() if bound in field]
    return " ".join([names.get(field["type"], "number"), ", ".join(limits)]).strip()


def _default(field: Schema, default: Any) -> str:
    if _references(field) and (default is None or isinstance(default, dict)):
        return "–"
    return "unset" if default is None else f"`{json.dumps(default, ensure_ascii=False)}`"


def _escaped(text: str) -> str:
    """Plain text as Markdown that shows it as it is; code in double backquotes stays code."""
    parts = re.split(r"(``.+?``)", text)
    return "".join(part if part.startswith("``") else re.sub(r"([\\`*_\[\]<>|{}$~])", r"\\\1", part) for part in parts)
