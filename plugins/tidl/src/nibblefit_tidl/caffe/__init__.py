"""Caffe's files, BVLC's and TI's dialect: networks in and out, solver settings, LMDB sets."""
