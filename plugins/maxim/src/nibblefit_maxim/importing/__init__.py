"""Import of networks in the vendor's own files, float or integer, as integer graphs."""
