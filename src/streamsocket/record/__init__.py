"""Recording: streams written to files, by the client and by the server itself."""
