"""Events per second, memory and start-up, beside plain loops."""
