"""The one receiving pipeline: a URL in, tracks, access units and frames out."""
