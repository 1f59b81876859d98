"""Train a classifier on a table or on images, and look at what it learned."""
