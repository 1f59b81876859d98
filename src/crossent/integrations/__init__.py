"""crossent inside other libraries' trainers: `crossent.integrations.transformers`."""
