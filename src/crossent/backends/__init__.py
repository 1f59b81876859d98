"""The rooms: each computes the same canonical Rows, in its own way; they do not import each other."""
