"""LMDB databases of Caffe datums as data sets (extra ``lmdb``), and how to write them."""
