"""The one artefact: panel, scaling, networks and edits; its use, its quality, its gates."""
