"""The source linter: reads Python files and notebooks without running them."""
