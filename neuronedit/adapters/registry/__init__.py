"""MLflow: runs, model versions, promotion, lineage."""
