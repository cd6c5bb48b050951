"""Kraken's market data: frames, books, subscriptions."""
