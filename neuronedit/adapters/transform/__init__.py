"""A dataset edited by many processes, each row exactly once."""
