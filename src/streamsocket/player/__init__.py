"""The desktop window: picture and sound of a stream, in sync."""
