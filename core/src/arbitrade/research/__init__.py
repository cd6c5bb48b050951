"""What quants do with recordings."""
