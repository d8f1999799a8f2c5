"""Cameras, screens and microphones as sources."""
