"""Neuron editing for users of scikit-learn: arrays with the domain of each row in place of files and settings."""
