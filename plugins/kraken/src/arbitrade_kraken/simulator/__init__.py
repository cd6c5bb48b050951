"""A Kraken on loopback that can be broken on demand."""
