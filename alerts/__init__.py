"""Told in time: what is unusual about a brand, decided by its own history, and told to who asked for it."""
