"""One live track turned into another codec, in a child process of its own."""
