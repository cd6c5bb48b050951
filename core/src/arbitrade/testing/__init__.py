"""For every suite and for plugin authors: factories, Hypothesis strategies, a synthetic market.

`factories`, `risk` (views for tests of risk rules) and `desk` (for tests of executors) need nothing
but core; `strategies` needs Hypothesis; `postgres` has fixtures for a real database, and `history`
makes of one what services are handed.  `isolation` is a pytest plugin that keeps tests apart from
the environment of who runs them, and `patience` says how long they wait.
``arbitrade-core[testing]`` brings what these modules import.
"""
