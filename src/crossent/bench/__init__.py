"""What `crossent bench` runs: crossent against every peer that is installed, on the same input, in one process."""
