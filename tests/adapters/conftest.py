from tests.fixtures import (
    cells,
    cells_once,
    controls_model,
    migrated_store,
    pair_model,
    panel,
    ray_cluster,
    s3,
    s3_server,
    tracking,
)

__all__ = [
    "cells",
    "cells_once",
    "controls_model",
    "migrated_store",
    "pair_model",
    "panel",
    "ray_cluster",
    "s3",
    "s3_server",
    "tracking",
]
