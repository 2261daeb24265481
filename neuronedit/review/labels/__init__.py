"""Effects of edits on labelled cells."""
