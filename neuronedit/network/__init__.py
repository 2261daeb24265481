"""The autoencoder and how it learns, on one machine or as one of many workers."""
