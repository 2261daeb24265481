"""One module per benchmark; each has ``run(quick) -> Result``."""
