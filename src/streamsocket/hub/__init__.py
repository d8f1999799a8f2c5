"""Streams and their readers: the work done once for everybody who watches."""
