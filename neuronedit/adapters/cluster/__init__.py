"""Ray sessions, tasks and progress."""
