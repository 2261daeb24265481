"""How alike two populations are: distances, scores, synergy."""
