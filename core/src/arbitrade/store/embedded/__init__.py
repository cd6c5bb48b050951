"""The PostgreSQL we start ourselves."""
