"""FCS files: their reading, and their ingest into a Parquet dataset."""
