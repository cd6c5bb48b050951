"""The exchange that a simulator's settings describe, with its funded account, on no wire yet."""

from pathlib import Path

from arbitrade.errors import UsageError
from arbitrade_kraken.simulator.exchange.clock import MovableClock
from arbitrade_kraken.simulator.exchange.conduct import ExchangeSettings
from arbitrade_kraken.simulator.exchange.exchange import Exchange
from arbitrade_kraken.simulator.exchange.generated import GeneratedMarket
from arbitrade_kraken.simulator.exchange.generated_settings import GeneratedMarketSettings
from arbitrade_kraken.simulator.exchange.listed import ListedPairs
from arbitrade_kraken.simulator.exchange.market import Market
from arbitrade_kraken.simulator.exchange.recorded import RecordedMarket, recorded_pairs
from arbitrade_kraken.simulator.exchange.replayed import public_frames
from arbitrade_kraken.simulator.faces.settings import PLENTY, SimulatorSettings


def fund(exchange: Exchange, settings: SimulatorSettings) -> None:
    """Open the account of the settings.

    Raises:
        UsageError: An asset is not listed, or an amount too fine for its ledger.
    """
    balances = settings.balances
    if balances is None:
        listed = exchange.listed.assets
        balances = {asset: amount for asset, amount in PLENTY.items() if asset in listed}
    exchange.hand.open_account(settings.account, balances)


def build_exchange(settings: SimulatorSettings, clock: MovableClock) -> Exchange:
    """Return the exchange these settings describe, without accounts.

    Raises:
        UsageError: A symbol is not listed, or the recording can't be used.
    """
    rules = settings.exchange or ExchangeSettings(seed=settings.seed)
    listed, market = _market(settings)
    return Exchange(listed, market, clock, rules)


def _market(settings: SimulatorSettings) -> tuple[ListedPairs, Market]:
    listed = ListedPairs.load()
    if settings.recording is not None:
        return _recorded_market(settings.recording, listed)
    if settings.symbols:
        listed = listed.only(settings.symbols)
    elif settings.pairs:
        listed = listed.select(settings.pairs)
    market = settings.market or GeneratedMarketSettings(seed=settings.seed)
    return listed, GeneratedMarket(market)


def _recorded_market(path: Path, listed: ListedPairs) -> tuple[ListedPairs, Market]:
    recorded = recorded_pairs(public_frames(path), listed)
    if not recorded.pairs:
        raise UsageError(f"{path}: has no book of a pair the venue lists; choose another recording")
    return recorded, RecordedMarket(public_frames(path))
