"""Files of AnnData: read by anndata, written with h5py, in blocks of events."""
