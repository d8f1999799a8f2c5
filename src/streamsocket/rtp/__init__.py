"""RTP and RTCP, one payload format a file, reordering, loss. No I/O."""
