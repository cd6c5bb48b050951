"""A run in which nothing goes wrong: what all the others are compared with."""


async def test_a_run_ends_with_the_venues_own_ledger_in_journal_and_database(bench):
    async with bench.running() as bot:
        await bot.until(lambda: bot.closed >= 5, "five cycles")
    await bench.assert_whole(bot)
    print(bot.report.as_json())
    print(bot.alerts())


async def test_a_second_run_goes_on_where_the_first_ended(bench):
    async with bench.running() as bot:
        await bot.until_more_cycles(2)
    async with bench.running() as again:
        await again.until_more_cycles(2)
    await bench.assert_whole(again)
