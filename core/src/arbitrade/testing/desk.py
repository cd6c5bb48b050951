"""For tests of executors: a desk on books that a test sets, where every order ends at once."""

from arbitrade.synthetic.desk import FakeDesk, FakeTicket

__all__ = ["FakeDesk", "FakeTicket"]
