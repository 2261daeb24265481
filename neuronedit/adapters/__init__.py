"""Everything that touches Ray, MLflow, pyarrow or a file format's library."""
