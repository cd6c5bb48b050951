"""Triangular arbitrage: cycles of three pairs, screened on every change, sized exactly."""
