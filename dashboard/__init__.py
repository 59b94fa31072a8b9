"""Pages and JSON API for people."""
