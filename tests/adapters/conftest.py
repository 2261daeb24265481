from tests.fixtures import (
    cells,
    cells_once,
    controls_model,
    migrated_store,
    pair_model,
    panel,
    ray_cluster,
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
    "tracking",
]
