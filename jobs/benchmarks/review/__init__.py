"""The review's checks where the truth is known, its cost and its verdicts."""
