"""FCS files: their reading, their ingest into a Parquet dataset, and their writing."""
