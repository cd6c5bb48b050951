"""For every suite and for plugin authors: factories, Hypothesis strategies, a synthetic market.

`factories` and `risk`, views for tests of risk rules, need nothing but core; `strategies` needs
Hypothesis; `postgres` has fixtures for a real database.  ``arbitrade-core[testing]`` brings what
these modules import.
"""
