"""WebRTC: what browsers publish and play with. DTLS and SRTP; no I/O."""
