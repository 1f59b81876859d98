"""Readers: a file of any of the usual formats becomes a table of named columns, and what was guessed is said."""
