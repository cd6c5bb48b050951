"""Where opportunities are kept."""
