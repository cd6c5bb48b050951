import logging

from arbitrade import Instruments, Settings
from arbitrade.config import Features
from arbitrade_statarb import plugin
from arbitrade_statarb.config import StatarbSettings


def test_section_is_called_statarb_and_works_with_its_defaults():
    (section,) = plugin.arbitrade_register_settings()
    assert section.name == "statarb"
    assert Settings().section("statarb", section.cls) == StatarbSettings()


def test_no_detector_and_no_word_while_the_feature_is_off(caplog):
    assert list(plugin.arbitrade_register_detectors(Settings(), Instruments())) == []
    assert caplog.records == []


def test_switching_the_feature_on_says_that_there_is_no_detector_yet(caplog):
    settings = Settings(features=Features(statarb=True))
    with caplog.at_level(logging.WARNING):
        assert list(plugin.arbitrade_register_detectors(settings, Instruments())) == []
    assert [record.getMessage() for record in caplog.records] == ["statarb.no_detector_yet"]
