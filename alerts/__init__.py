"""Told in time: the room of spike rules and delivery (built with its issue)."""
