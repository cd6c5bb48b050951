"""What happens to opportunities that risk has approved."""
