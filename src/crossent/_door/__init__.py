"""The door: what is checked, once, and every message about it."""
