"""What child processes get of streams: batches, fed within bounds, and put together again."""
