"""Transfer, verdict and gate measures, put together as a page."""
