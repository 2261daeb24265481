"""Events and edits as tensors, on any device that torch has: the same results, to float32's rounding."""
