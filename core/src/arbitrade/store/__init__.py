"""Where what was found and done is kept: PostgreSQL, and files of opportunities."""
