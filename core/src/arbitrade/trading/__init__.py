"""From opportunity to money: one deterministic machine, driven by events, and the shell around it.

Everything that decides is in `trader.py` and what it calls: no I/O, no clock but the events' own,
no asyncio.  `session.py` is the shell: sockets, files, the database, signals.  Whatever the shell
tells the machine is recorded in the order it was told, so that a replay tells it again.
"""
