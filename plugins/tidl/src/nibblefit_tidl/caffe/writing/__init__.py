"""From the canonical graph to prototxt and caffemodel, for TI's classic importers."""

from nibblefit_tidl.caffe.writing.entry import caffe_messages, write_caffe

__all__ = ["caffe_messages", "write_caffe"]
