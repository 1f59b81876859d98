"""What `xent bench` runs: xent against every peer that is installed, on the same input, in one process."""
