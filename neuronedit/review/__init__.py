"""The model review: what a model learned, how well it does beside simple methods, on one page."""
