"""The HTTP application: health, the API, the metrics."""
