"""An account at Kraken: orders, executions, balances, over the private WebSocket and REST."""
