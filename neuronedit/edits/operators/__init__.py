"""Ways in which one step of an edit shifts activations."""
