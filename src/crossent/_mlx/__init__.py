"""What MLX needs: its namespace completed, and the definition's functions with their derivatives told to it."""
