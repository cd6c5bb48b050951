"""Signatures against the published vector, and nonces that only grow."""

import subprocess
import sys

import pytest

from arbitrade.clock import ReplayClock
from arbitrade.errors import AuthenticationError, ConfigError
from arbitrade.testing.patience import PATIENCE_S
from arbitrade_kraken.rest.nonces import NonceFile
from arbitrade_kraken.rest.signing import form_payload, json_payload, sign

PRIVATE_KEY = (
    "kQH5HW/8p1uGOVjbgWA7FunAmGO8lsSUXNsu3eow76sz84Q18fWxnyRzBHCd3pd5nE9qa99HAZtuZuj6F1huXg=="
)
NONCE = 1616492376594


def test_published_vector_gives_the_published_signature() -> None:
    fields = {
        "ordertype": "limit",
        "pair": "XBTUSD",
        "price": "37500",
        "type": "buy",
        "volume": "1.25",
    }
    payload = form_payload(NONCE, fields)
    assert payload == (
        "nonce=1616492376594&ordertype=limit&pair=XBTUSD&price=37500&type=buy&volume=1.25"
    )
    assert sign("/0/private/AddOrder", NONCE, payload, PRIVATE_KEY) == (
        "4/dpxb3iT4tp/ZCVEwSnEsLxx0bqyhLpdfOpc6fn7OR8+UClSV5n9E6aSS8MPtnRfp32bAb0nmbRn6H8ndwLUQ=="
    )


def test_json_payload_has_the_nonce_as_text_and_is_signed_as_it_is() -> None:
    payload = json_payload(NONCE, {"pair": "XBTUSD", "orders": [{"volume": "1.25"}]})
    assert payload == '{"nonce":"1616492376594","pair":"XBTUSD","orders":[{"volume":"1.25"}]}'
    other = json_payload(NONCE, {"pair": "XBTUSD", "orders": [{"volume": "1.26"}]})
    path = "/0/private/AddOrderBatch"
    assert sign(path, NONCE, payload, PRIVATE_KEY) != sign(path, NONCE, other, PRIVATE_KEY)


def test_private_key_that_is_not_base64_is_refused_without_showing_it() -> None:
    with pytest.raises(AuthenticationError) as refused:
        sign("/0/private/Balance", NONCE, "", "not a key!")
    assert "not a key" not in str(refused.value)
    assert refused.value.__context__ is None


def test_nonces_are_nanoseconds_and_grow_though_the_clock_goes_back(tmp_path) -> None:
    clock = ReplayClock(1_789_374_000_000_000_000)
    nonces = NonceFile.for_key(tmp_path, "key", clock)
    assert nonces.next() == 1_789_374_000_000_000_000
    assert nonces.next() == 1_789_374_000_000_000_001
    earlier = NonceFile.for_key(tmp_path, "key", ReplayClock(1_000_000_000_000_000_000))
    assert earlier.next() == 1_789_374_000_000_000_002


def test_keys_have_files_of_their_own_whose_names_tell_nothing(tmp_path) -> None:
    NonceFile.for_key(tmp_path, "first-key").next()
    NonceFile.for_key(tmp_path, "second-key").next()
    names = [path.name for path in tmp_path.iterdir()]
    assert len(names) == 2
    assert not any("first-key" in name or "second-key" in name for name in names)


def test_nonces_of_several_processes_are_all_different(tmp_path) -> None:
    program = (
        "import sys, pathlib\n"
        "from arbitrade_kraken.rest.nonces import NonceFile\n"
        "from arbitrade.clock import ReplayClock\n"
        "nonces = NonceFile.for_key(pathlib.Path(sys.argv[1]), 'key', ReplayClock(10**18))\n"
        "print(*(nonces.next() for _ in range(300)))\n"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    taken = [
        [int(word) for word in p.communicate(timeout=PATIENCE_S)[0].split()] for p in processes
    ]
    assert all(one == sorted(one) and len(one) == 300 for one in taken)
    assert len({nonce for one in taken for nonce in one}) == 900


def test_file_that_holds_something_else_is_not_overwritten(tmp_path) -> None:
    nonces = NonceFile.for_key(tmp_path, "key")
    nonces.path.write_text("what is this")
    with pytest.raises(ConfigError, match="holds no nonce"):
        nonces.next()


def test_folder_that_cannot_be_written_is_named(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"kraken\.nonce_folder"):
        NonceFile.for_key(tmp_path / "file", "key").next()
