"""Names of metrics and files, from what people call things."""

import re


def slug(name: str) -> str:
    """Lower-case letters, digits and underscores, as MLflow and every file system take them."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") or "unnamed"
