"""FCS files made of a Parquet dataset, each whole or not at all."""
