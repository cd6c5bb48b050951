"""A run around the machine: starting, watching, recording, commanding, stopping."""
