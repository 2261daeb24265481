"""Evidence that repeats from fit to fit, and what drifts."""
