"""What flows through the system: codecs, tracks, access units, clocks. No I/O, no threads."""
