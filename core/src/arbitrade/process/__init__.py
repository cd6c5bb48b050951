"""What the process runs on: event loops, watchdog, latencies, logs, tasks."""
