"""Parquet files made of FCS files, each whole or not at all."""
