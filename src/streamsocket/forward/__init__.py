"""Streams that are pushed on to other servers."""
