"""A window on what is being sent, on the machine that sends it."""
