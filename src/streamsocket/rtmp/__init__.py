"""RTMP: the way in for OBS and FFmpeg, and the way out to other servers."""
