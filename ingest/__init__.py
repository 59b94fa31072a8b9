"""From the outside world to posts: sources, normaliser, brand matching."""
