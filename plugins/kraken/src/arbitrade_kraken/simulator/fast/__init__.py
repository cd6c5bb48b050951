"""The same exchange without sockets and without waiting, for tests.

It takes from the faces what has no socket in it: the time they tell, the frames and rows they
write, the topics of market data.  So a client in simulated time is sent, byte for byte, what the
server would send it, and a test of hours finds what the faces do wrong as well.
"""
