"""Live pictures and sound as numpy arrays: subscribe, publish, process, synchronize."""
