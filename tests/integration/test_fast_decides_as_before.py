"""Runs in simulated time decide what they decided at commit 2ea1949, to the last decision.

A run here depends on nothing but its seed: time is the simulated venue's, and ids of runs are
given.  So the hash over all its decisions is a figure that can be kept.  Runs over sockets, as in
the parity suite, have new ids and another time each; of them recordings are kept, in
tests/compatibility.

Whoever changes what is decided, or the simulated market, writes new figures here and says why in
the commit.  The hashes were taken before the run ends, so that how it ends may change.
"""

import pytest
from fast_bot import FastBot
from test_fast_paper import paper_bot
from test_fast_soak import Life, stormy

STORMY = {
    1: (716, "1c8a513caf30971dcde0fe7d13c87f84a96ee1ebdd771f2e9144b5a0af0f93fc"),
    2: (909, "ec9741d32621037257f7c4148fda72f40b2b2963c8c63e6411a06ecf4a93e8d2"),
}
MEDDLED_WITH = {
    3: (778, "a0fc3b7d7fead35e073cc7272d3389365052b73f04a883a907ab748c967b7c5b"),
    4: (977, "34e430b59bc200282938cfbb99f63803e58f2294a2e726ee7c4dedd6d53bbab2"),
}
PAPER = {
    (1, "sequential"): (1985, "4ecec77a64c60314526bb6d52601d64913d2da6f5869e58606dacd238df2969a"),
    (2, "sequential"): (1886, "37a6a17782919a9737fe0e6b4813464389ab842c069e7220b41d14531f387a66"),
    (1, "parallel"): (2240, "193013064db2b993a6f79358dd6c4d9d22d923a0f5d5ada002aaf011a7e166d7"),
    (2, "parallel"): (2187, "b23a32ac271009cae1ae2a956077390631947b4c0b09c26fc5c125818df35e7f"),
}


def decided(bot: FastBot) -> tuple[int, str]:
    return bot.rig.decisions.count, bot.rig.decisions.hash


@pytest.mark.parametrize("seed", STORMY)
def test_a_venue_at_which_everything_goes_wrong(seed):
    bot = stormy(seed, pairs=12)
    bot.run(60)
    assert decided(bot) == STORMY[seed]


@pytest.mark.parametrize("seed", MEDDLED_WITH)
def test_a_venue_that_stops_and_people_who_change_limits_and_move_money(seed):
    bot = stormy(seed, pairs=12)
    Life(bot, seed)
    bot.run(60)
    assert decided(bot) == MEDDLED_WITH[seed]


@pytest.mark.parametrize(("seed", "executor"), PAPER)
def test_simulated_fills(seed, executor):
    bot, _ = paper_bot(seed, executor)
    bot.run(30)
    assert decided(bot) == PAPER[seed, executor]
