"""Data sets: readers, splits, scaling and augmentation. See `nibblefit.data.source`."""
