"""Suites that read settings, files, clocks and terminals pass in a hostile environment."""

import os
import subprocess
import sys
from pathlib import Path

from arbitrade.testing.isolation import at_home
from arbitrade.testing.patience import PATIENCE_S

ROOT = Path(__file__).parents[2]
HOSTILE = {
    "ARBITRADE_CONFIG": "/nowhere",
    "ARBITRADE_FEES__TAKER": "lots",
    "ARBITRADE_RUNTIME__FOLDER": "/nowhere",
    "ARBITRADE_DATABASE__DSN": "postgresql://somebody@127.0.0.1:1/else",
    "ARBITRADE_KRAKEN__API_KEY": "somebody-elses",
    "ARBITRADE_SECRETS__KEYRING": "true",
    **{f"PG_{name}": "nowhere" for name in ("HOST", "PORT", "USER", "PASSWORD", "DATABASE")},
    **{f"PG{name}": "1" for name in ("HOST", "PORT", "USER", "PASSWORD", "DATABASE", "SSLMODE")},
    "PYTHON_KEYRING_BACKEND": "nowhere.Keyring",
    "PYTHONHASHSEED": "12345",
    "LC_ALL": "C",
    "TZ": "Pacific/Chatham",
    "COLUMNS": "20",
    "FORCE_COLOR": "1",
    "HTTP_PROXY": "http://127.0.0.1:9",
    "http_proxy": "http://127.0.0.1:9",
    "HTTPS_PROXY": "http://127.0.0.1:9",
    "ALL_PROXY": "socks5://127.0.0.1:9",
}
SENSITIVE = (
    *("core/tests/test_cli_config.py", "core/tests/test_doctor.py", "core/tests/test_live_view.py"),
    *("core/tests/test_operator_commands.py", "plugins/alerts/tests/test_channels.py"),
    *("plugins/kraken/tests/test_convert.py", "web/tests/test_server.py"),
)


def test_nothing_of_who_runs_the_tests_reaches_them(tmp_path):
    home, here = tmp_path / "home", tmp_path / "here"
    (home / ".arbitrade" / "locks").mkdir(parents=True)
    here.mkdir()
    (here / "settings.toml").write_text("[fees]\ntaker = 'lots'\n")
    (here / ".secrets.toml").write_text("[kraken]\napi_key = 'somebody-elses'\n")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider"),
            *("-c", str(ROOT / "pyproject.toml"), f"--rootdir={ROOT}"),
            *(str(ROOT / name) for name in SENSITIVE),
        ],
        cwd=here,
        env={**at_home(), **HOSTILE, "HOME": str(home), "USERPROFILE": str(home)},
        umask=0o077 if os.name == "posix" else -1,
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-10_000:] + done.stderr[-2_000:]
    assert [path.name for path in home.iterdir()] == [".arbitrade"]
    assert list((home / ".arbitrade" / "locks").iterdir()) == []
    assert sorted(path.name for path in here.iterdir()) == [".secrets.toml", "settings.toml"]
