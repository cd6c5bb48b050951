"""Kraken spot for Arbitrade: market data over WebSocket v2, checksums, instruments."""
