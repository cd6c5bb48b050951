"""How an operator reaches a running bot: the kill switch, the control socket, and who runs at all.

Nothing here imports the bot itself; it is handed in as `arbitrade.api.Bot`.
"""
