"""For tests of risk rules: a view in which every fact can be set, and an opportunity to judge."""

from arbitrade.risk.quiet import QuietView
from arbitrade.synthetic.view import (
    ENTRY_FEES,
    TRIANGLE,
    FakeRiskView,
    make_basket,
    make_opportunity,
)

__all__ = [
    "ENTRY_FEES",
    "TRIANGLE",
    "FakeRiskView",
    "QuietView",
    "make_basket",
    "make_opportunity",
]
