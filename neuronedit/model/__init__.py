"""The one artefact: panel, scaling, networks and edits; its file, its use, its gates."""
