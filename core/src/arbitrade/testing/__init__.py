"""For every suite and for plugin authors: factories, Hypothesis strategies, a synthetic market.

`factories` needs nothing but core; `strategies` needs Hypothesis.  ``arbitrade-core[testing]``
brings what these modules import.
"""
