"""The jobs: thin scripts, and the subcommands of the console script neuronedit."""
