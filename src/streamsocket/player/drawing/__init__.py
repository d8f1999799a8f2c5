"""What is drawn and written in the window: pure functions that return images."""
