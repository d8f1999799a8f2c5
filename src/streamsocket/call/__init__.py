"""Two people who see and hear each other, without a server to set up."""
