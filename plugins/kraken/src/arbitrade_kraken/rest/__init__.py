"""Kraken's REST interface: signed, counted, read."""
