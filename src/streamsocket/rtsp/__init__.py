"""RTSP 1.0: the protocol (no I/O), then the server's and the client's sockets."""
