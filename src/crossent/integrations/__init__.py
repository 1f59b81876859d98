"""crossent inside other libraries' trainers: `crossent.integrations.transformers` and `.trl`."""
