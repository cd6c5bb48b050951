"""Bytes to frames: a WebSocket, whoever reads it."""
