"""What streams are made from: files and test patterns, each in a process of its own."""
