"""Decoding, encoding and transcoding, on PyAV."""
