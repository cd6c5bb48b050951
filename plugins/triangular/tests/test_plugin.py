"""What the plugin brings to a run."""

from decimal import Decimal

from arbitrade import Settings
from arbitrade.models import Changed
from arbitrade.testing.factories import make_book, make_instruments
from arbitrade_triangular import plugin
from arbitrade_triangular.config import TriangularSettings


def test_the_section_is_its_own_name_and_has_the_documented_defaults() -> None:
    (section,) = plugin.arbitrade_register_settings()
    assert section.name == "triangular"
    assert section.cls is TriangularSettings
    own = Settings().section("triangular", TriangularSettings)
    assert own.start_assets == ("USD", "EUR", "GBP", "USDT", "USDC", "BTC", "ETH")
    assert own.min_edge_bps == 0


def test_the_detector_takes_fees_and_its_section_from_the_settings() -> None:
    listed = make_instruments("BTC/USD", "ETH/BTC", "ETH/USD")
    settings = Settings(sections={"triangular": {"start_assets": ["ETH"], "min_edge_bps": "-500"}})
    (detector,) = plugin.arbitrade_register_detectors(settings, listed)
    found = []
    for book in (
        make_book(listed["BTC/USD"], asks=[("100", "1")], bids=[("99", "1")]),
        make_book(listed["ETH/BTC"], asks=[("1", "1")], bids=[("0.50", "1")]),
        make_book(listed["ETH/USD"], asks=[("200", "1")], bids=[("100", "1")]),
    ):
        found = list(detector.on_book(book, Changed.BOTH))
    # ETH→USD→BTC→ETH at 0.40 % in quote: 0.996 / 1.004² − 1 = −119.20 bps
    assert [(now.key, f"{now.edge_bps:.2f}") for now in found] == [("ETH>USD>BTC", "-119.20")]
    assert settings.fees.taker == Decimal("0.0040")
