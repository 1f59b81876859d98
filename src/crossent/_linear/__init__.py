"""The linear layer and its loss, chunk by chunk, for arrays of NumPy and torch."""
