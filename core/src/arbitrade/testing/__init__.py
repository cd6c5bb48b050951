"""For every suite and for plugin authors: factories, Hypothesis strategies, a synthetic market.

`factories`, `risk` (views for tests of risk rules), `desk` (for tests of executors) and `bot` (for
tests of services) need nothing but core; `contracts` has a test class to subclass for each role;
`strategies` needs Hypothesis; `postgres` has fixtures for a real database, and `history` makes of
one what services are handed.  `isolation` is a pytest plugin that keeps tests apart from the
environment of who runs them, and `patience` says how long they wait.
``arbitrade-core[testing]`` brings what these modules import.
"""
