"""Students: small fast maps, distilled from whole edits, and the gate that decides whether they serve."""
