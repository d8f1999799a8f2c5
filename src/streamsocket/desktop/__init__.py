"""Windows, speakers and microphones."""
