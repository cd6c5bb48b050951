"""How the exchange is seen: WebSocket, REST, remote control."""
