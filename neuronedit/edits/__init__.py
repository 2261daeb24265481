"""Fitted changes from source to target, and the rules that edits compete with."""
