"""Soundings: the words all rooms share. Standard library only, no input or output."""
