"""The same exchange without sockets and without waiting, for tests."""
