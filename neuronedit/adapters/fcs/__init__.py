"""FCS files."""
