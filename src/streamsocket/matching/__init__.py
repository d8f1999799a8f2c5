"""What a stream has against what a viewer can play."""
