"""All that only torch needs."""
