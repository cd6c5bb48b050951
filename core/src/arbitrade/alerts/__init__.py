"""From an alert to a person: dispatch to every sink, and core's own sink, the log."""
