"""Notification channels for Arbitrade, through apprise."""
