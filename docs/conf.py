"""How Sphinx builds these pages: from this checkout alone, without a network."""

import sys
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent
sys.path[:0] = [str(DOCS), str(DOCS.parent)]  # this folder

project = "neuronedit"
project_copyright = "The neuronedit developers"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
extensions += ["error_catalogue", "job_reference", "tutorials"]  # of this folder
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]
autodoc_typehints = "description"
autodoc_member_order = "groupwise"
suppress_warnings = ["config.cache"]
html_theme = "furo"
html_title = "neuronedit"
html_static_path = ["_static"]
html_css_files = ["pages.css"]
html_copy_source = False
exclude_patterns = ["tutorials/recorded"]


def skip_foreign(app: Any, what: str, name: str, member: Any, skip: bool, options: Any) -> bool | None:
    """Leave out what a module imports from other packages, and what pydantic adds to every configuration."""
    module = getattr(member, "__module__", None) or "neuronedit"
    foreign = module.partition(".")[0] != "neuronedit" or name.startswith("model_")
    return True if foreign else None


def setup(app: Any) -> None:
    """Register the filter of the Python reference."""
    app.connect("autodoc-skip-member", skip_foreign)
