"""Quality of a transform, counted while events stream past: distances to the reference, and support."""
