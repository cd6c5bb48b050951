"""Settings: layers, origins, and every problem at once."""

import contextlib
import pickle
import traceback
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Protocol

import attrs
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from arbitrade import Secret, Settings, SettingsSection, Severity
from arbitrade.config import FeeSettings, setting
from arbitrade.config.load import load_settings
from arbitrade.errors import ConfigError, PluginError
from arbitrade.pricing import FeeConvention

CANARY = "canary-5d21-do-not-show"


@attrs.frozen
class Bell:
    """A plain class, as a plugin's author writes it first."""

    level: Severity = Severity.WARNING
    name: str = "bell"
    token: Secret | None = None
    tones: tuple[int, ...] = ()


@attrs.frozen
class Account:
    api_secret: Secret | None = None


@attrs.frozen
class Deep:
    account: Account = Account()
    depth: int = setting(
        10, "Levels.", minimum=10, maximum=1000, validator=attrs.validators.in_((10, 100))
    )


BELL = SettingsSection("bell", Bell)
DEEP = SettingsSection("deep", Deep)


class Load(Protocol):
    def __call__(
        self,
        *sections: SettingsSection,
        environ: Mapping[str, str] = ...,
        overrides: Mapping[str, object] | None = ...,
        plugin_names: tuple[str, ...] = ...,
    ) -> Settings: ...


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str], None]:
    """Write a file into the folder of the settings."""

    def write(name: str, text: str) -> None:
        (tmp_path / name).write_text(text, encoding="utf-8")

    return write


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Load settings from that folder; the machine's own keyring is left alone."""

    def load(
        *sections: SettingsSection,
        environ: Mapping[str, str] | None = None,
        overrides: Mapping[str, object] | None = None,
        plugin_names: tuple[str, ...] = (),
    ) -> Settings:
        variables = {"ARBITRADE_SECRETS__KEYRING": "false", **(environ or {})}
        return load_settings(
            sections,
            folder=tmp_path,
            environ=variables,
            overrides=overrides,
            plugin_names=plugin_names,
        )

    return load


def problems_of(
    load: Load, *sections: SettingsSection, environ: Mapping[str, str] | None = None
) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(*sections, environ=environ or {})
    return list(caught.value.problems)


# ── defaults ─────────────────────────────────────────────────────────────────────────────────────


def test_settings_without_arguments_are_all_defaults(load: Load) -> None:
    settings = Settings()
    assert settings.venue == "kraken"
    assert settings.fees.taker == Decimal("0.0040")
    assert settings.features.statarb is False
    assert attrs.evolve(load(), secrets=settings.secrets) == settings


def test_the_fee_schedule_says_what_the_settings_say() -> None:
    fees = FeeSettings(overrides={"BTC/USD": Decimal("0.001")}, charged_in=FeeConvention.PROCEEDS)
    schedule = fees.schedule()
    assert schedule.taker_rate("BTC/USD") == Decimal("0.001")
    assert schedule.taker_rate("ETH/USD") == Decimal("0.0040")
    assert schedule.charged_in is FeeConvention.PROCEEDS


def test_a_section_is_made_from_what_was_handed_in() -> None:
    settings = Settings(sections={"bell": {"level": "error", "tones": [1, 2]}})
    assert settings.section("bell", Bell) == Bell(Severity.ERROR, tones=(1, 2))
    assert settings.section("other", Bell) == Bell()


def test_a_default_table_is_not_shared_between_instances() -> None:
    assert FeeSettings().overrides is not FeeSettings().overrides


# ── layers ───────────────────────────────────────────────────────────────────────────────────────


def test_each_layer_beats_the_one_before(write: Callable[[str, str], None], load: Load) -> None:
    write("settings.toml", 'venue = "file"\n[fees]\ntaker = 0.001\nmaker = 0.001\n')
    write(".secrets.toml", "[fees]\ntaker = 0.002\n")
    environ = {"ARBITRADE_FEES__TAKER": "0.003"}
    assert load().fees.taker == Decimal("0.002")
    assert load(environ=environ).fees.taker == Decimal("0.003")
    settings = load(environ=environ, overrides={"fees": {"taker": "0.004"}})
    assert settings.fees.taker == Decimal("0.004")
    assert settings.fees.maker == Decimal("0.001")
    assert settings.venue == "file"


def test_an_option_that_was_not_given_changes_nothing(load: Load) -> None:
    settings = load(overrides={"venue": None, "fees": {"taker": None, "maker": Decimal("0.001")}})
    assert settings.fees == FeeSettings(maker=Decimal("0.001"))


def test_every_value_knows_where_it_came_from(
    write: Callable[[str, str], None], load: Load
) -> None:
    write("settings.toml", '[fees]\ntaker = 0.001\noverrides = {"BTC/USD" = 0.001}\n')
    write(".secrets.toml", f'[bell]\ntoken = "{CANARY}"\n')
    environ = {"ARBITRADE_FEES__MAKER": "0.003"}
    origins = load(BELL, environ=environ, overrides={"venue": "other"}).origins
    assert origins["fees.taker"] == "settings.toml"
    assert origins["fees.overrides.btc/usd"] == "settings.toml"
    assert origins["fees.maker"] == "environment ARBITRADE_FEES__MAKER"
    assert origins["bell.token"] == ".secrets.toml"
    assert origins["venue"] == "command line"
    assert "risk.minimum_edge_bps" not in origins


def test_a_table_in_a_higher_layer_does_not_wipe_the_lower_one(
    write: Callable[[str, str], None], load: Load
) -> None:
    write("settings.toml", "[bell]\nlevel = 'error'\nname = 'ding'\n")
    write(".secrets.toml", f"[bell]\ntoken = '{CANARY}'\n")
    bell = load(BELL).section("bell", Bell)
    assert bell == Bell(Severity.ERROR, "ding", Secret(CANARY))


def test_a_list_in_a_higher_layer_replaces_the_lower_one(
    write: Callable[[str, str], None], load: Load
) -> None:
    write("settings.toml", "[bell]\ntones = [1, 2]\n")
    write(".secrets.toml", "[bell]\ntones = [3]\n")
    assert load(BELL).section("bell", Bell).tones == (3,)
    settings = load(BELL, environ={"ARBITRADE_BELL__TONES": "4,5"})
    assert settings.section("bell", Bell).tones == (4, 5)


def test_keys_of_the_environment_are_not_left_in_upper_case(load: Load) -> None:
    settings = load(environ={"ARBITRADE_BELL__NAME": "ding"}, plugin_names=("bell",))
    assert settings.section("bell", Bell).name == "ding"


def test_an_entry_of_a_table_keeps_its_case_and_can_be_changed_alone(
    write: Callable[[str, str], None], load: Load
) -> None:
    write("settings.toml", '[Fees.Overrides]\n"BTC/USD" = 0.001\n"ETH/USD" = 0.002\n')
    settings = load(environ={"ARBITRADE_FEES__OVERRIDES__eth/usd": "0.003"})
    assert settings.fees.overrides == {"BTC/USD": Decimal("0.001"), "ETH/USD": Decimal("0.003")}


def test_a_whole_table_can_come_from_one_variable(
    write: Callable[[str, str], None], load: Load
) -> None:
    write("settings.toml", '[fees.overrides]\n"BTC/USD" = 0.001\n')
    settings = load(environ={"ARBITRADE_FEES__OVERRIDES": '{"ETH/USD": 0.002}'})
    assert settings.fees.overrides == {"ETH/USD": Decimal("0.002")}
    assert settings.origins["fees.overrides"] == "environment ARBITRADE_FEES__OVERRIDES"
    assert "fees.overrides.btc/usd" not in settings.origins


@pytest.mark.parametrize(
    "value", ["0x1F", "1e400", "2024-01-01", "007", "true", "[1]", '"quoted"', " padded ", "@int 5"]
)
def test_text_from_the_environment_is_taken_as_it_is(load: Load, value: str) -> None:
    environ = {"ARBITRADE_BELL__NAME": value, "ARBITRADE_BELL__TOKEN": value}
    bell = load(BELL, environ=environ).section("bell", Bell)
    assert bell.name == value
    assert bell.token is not None
    assert bell.token.reveal() == value


TOKENS = [
    "@format {env[HOME]}",
    "@read_file /etc/hostname",
    "@jinja {{ 1 }}",
    "@merge",
    "@get VENUE",
]


@pytest.mark.parametrize("token", TOKENS)
@pytest.mark.parametrize("auto_cast", ["true", None])
def test_nothing_written_is_run_as_code(
    write: Callable[[str, str], None],
    load: Load,
    monkeypatch: pytest.MonkeyPatch,
    token: str,
    auto_cast: str | None,
) -> None:
    if auto_cast is not None:
        monkeypatch.setenv("AUTO_CAST_FOR_DYNACONF", auto_cast)
    write("settings.toml", f"venue = '{token}'\n[bell]\nname = '{token}'\n")
    write(".secrets.toml", f"[bell]\ntoken = '{token}'\n")
    settings = load(BELL)
    bell = settings.section("bell", Bell)
    assert settings.venue == bell.name == token
    assert bell.token == Secret(token)


def test_variables_for_dynaconf_bring_nothing_in(
    tmp_path: Path, write: Callable[[str, str], None], load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("other.toml", "venue = 'smuggled'\nunknown = 1\n")
    for name in ("SETTINGS_FILE", "SECRETS", "INCLUDES", "PRELOAD", "SETTINGS"):
        monkeypatch.setenv(f"{name}_FOR_DYNACONF", str(tmp_path / "other.toml"))
    monkeypatch.setenv("LOAD_DOTENV", "true")
    write(".env", "ARBITRADE_VENUE=dotted\n")
    write("settings.toml", "[fees]\ntaker = 0.001\n")
    write("settings.local.toml", "venue = 'local'\n")
    assert load().venue == "kraken"
    assert load().origins == {
        "fees.taker": "settings.toml",
        "secrets.keyring": "environment ARBITRADE_SECRETS__KEYRING",
    }


def test_a_folder_may_have_any_name(tmp_path: Path) -> None:
    folder = tmp_path / "a [b] {c} *d, é"
    folder.mkdir()
    (folder / "settings.toml").write_text("venue = 'found'\n")
    assert load_settings(folder=folder, environ={}).venue == "found"


def test_the_folder_comes_from_the_environment(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text("venue = 'found'\n")
    assert load_settings(environ={"ARBITRADE_CONFIG": str(tmp_path)}).venue == "found"


def test_a_named_folder_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no such folder \(environment ARBITRADE_CONFIG\)"):
        load_settings(environ={"ARBITRADE_CONFIG": str(tmp_path / "nowhere")})


# ── problems ─────────────────────────────────────────────────────────────────────────────────────


def test_all_problems_are_reported_at_once_with_path_and_origin(
    write: Callable[[str, str], None], load: Load
) -> None:
    write(
        "settings.toml",
        'venu = 1\n[fees]\nmaker = 0.5\n[fees.overrides]\n"BTC/USD" = true\n'
        "[bell]\nlevel = 'loud'\ntones = [1, 2.5]\n[bel]\n",
    )
    environ = {"ARBITRADE_FEES__TAKER": "0,4", "ARBITRADE_FEES__TAKR": "1"}
    assert sorted(problems_of(load, BELL, environ=environ)) == [
        "bel: unknown section (empty table); did you mean bell?"
        "  A plugin's section needs the plugin installed.",
        "bell.level: 'loud' is none of debug, info, warning, error, critical (settings.toml)",
        "bell.tones[1]: 2.5 is not a whole number (settings.toml)",
        "fees.maker: 0.5 is above 0.2 (settings.toml); write 0.0040 for 40 bps",
        "fees.overrides.BTC/USD: True is not a decimal number (settings.toml); "
        "write 0.0040 for 40 bps",
        "fees.taker: '0,4' is not a decimal number (environment ARBITRADE_FEES__TAKER); "
        "write 0.0040 for 40 bps",
        "fees.takr: unknown setting (environment ARBITRADE_FEES__TAKR); did you mean taker?",
        "venu: unknown setting (settings.toml); did you mean venue?",
    ]


def test_an_entry_out_of_range_is_named(load: Load) -> None:
    environ = {"ARBITRADE_FEES__OVERRIDES": '{"BTC/USD": "0.001", "ETH/USD": "0.3"}'}
    assert problems_of(load, environ=environ) == [
        "fees.overrides.ETH/USD: 0.3 is above 0.2 "
        "(environment ARBITRADE_FEES__OVERRIDES); write 0.0040 for 40 bps"
    ]


def test_a_validator_names_its_field(load: Load) -> None:
    [problem] = problems_of(load, DEEP, environ={"ARBITRADE_DEEP__DEPTH": "50"})
    assert problem.startswith("deep.depth: 'depth' must be in (10, 100)")
    assert "(environment ARBITRADE_DEEP__DEPTH)" in problem


def test_one_underscore_too_few_is_told(load: Load) -> None:
    assert problems_of(load, environ={"ARBITRADE_FEES_TAKER": "1"}) == [
        "environment ARBITRADE_FEES_TAKER: is not used; "
        "did you mean ARBITRADE_FEES__TAKER (two underscores)?"
    ]


@pytest.mark.parametrize(
    "variable", ["ARBITRADE_PORT", "ARBITRADE_SERVICE_HOST", "ARBITRADE_VAULT_PASSPHRASE_FILE"]
)
def test_variables_of_platforms_and_other_parts_are_left_alone(load: Load, variable: str) -> None:
    assert load(environ={variable: "x"}).origins.keys() == {"secrets.keyring"}


def test_a_section_nobody_owns_is_unknown(load: Load) -> None:
    [problem] = problems_of(load, BELL, environ={"ARBITRADE_FEE__TAKER": "1"})
    assert problem.startswith("fee: unknown section (environment ARBITRADE_FEE__TAKER)")
    assert "did you mean fees?" in problem


def test_a_key_outside_its_section_is_told(write: Callable[[str, str], None], load: Load) -> None:
    write("settings.toml", "taker = 0.1\n")
    assert problems_of(load) == [
        "taker: is in no section (settings.toml); did you mean fees.taker?  Write it below [fees]"
    ]


def test_core_has_no_section_of_that_name(load: Load) -> None:
    with pytest.raises(ConfigError, match="core: unknown section"):
        load(environ={"ARBITRADE_CORE__X": "1"}, plugin_names=("core",))


def test_a_section_of_a_plugin_that_registers_none_is_checked_when_asked_for(load: Load) -> None:
    settings = load(environ={"ARBITRADE_BELL__LEVL": "1"}, plugin_names=("bell",))
    with pytest.raises(ConfigError, match=r"bell\.levl: unknown setting .*did you mean level\?"):
        settings.section("bell", Bell)


def test_a_value_instead_of_a_table_is_told(write: Callable[[str, str], None], load: Load) -> None:
    write("settings.toml", "fees = 5\n")
    assert problems_of(load) == [
        "fees: is not a table (settings.toml); write [fees] and its keys below"
    ]


def test_a_variable_for_a_table_and_one_for_its_entry_contradict(load: Load) -> None:
    environ = {"ARBITRADE_FEES__OVERRIDES": "{}", "ARBITRADE_FEES__OVERRIDES__BTC/USD": "0.1"}
    [problem] = problems_of(load, environ=environ)
    assert "a shorter variable sets the whole table" in problem


def test_a_variable_without_a_key_is_told(load: Load) -> None:
    [problem] = problems_of(load, environ={"ARBITRADE_FEES__": "1"})
    assert "a name is missing beside `__`" in problem


def test_broken_toml_is_told_with_file_and_line(
    write: Callable[[str, str], None], load: Load
) -> None:
    write("settings.toml", "venue = 'kraken'\nfees = {\n")
    write(".secrets.toml", f"[bell]\ntoken = {CANARY}\n")
    first, second = problems_of(load, BELL)
    assert "settings.toml, line 2, column 9: " in first
    assert ".secrets.toml, line 2, column 9: " in second
    assert CANARY not in first + second


def test_a_file_that_is_not_utf8_is_told(tmp_path: Path, load: Load) -> None:
    (tmp_path / "settings.toml").write_bytes("venue = 'é'".encode("latin-1"))
    [problem] = problems_of(load)
    assert problem.endswith("settings.toml: is not UTF-8 text; save it in that encoding")


def test_a_folder_in_place_of_a_file_is_told(tmp_path: Path, load: Load) -> None:
    (tmp_path / "settings.toml").mkdir()
    [problem] = problems_of(load)
    assert "settings.toml: can't be read" in problem


def test_two_plugins_cannot_own_one_section(load: Load) -> None:
    with pytest.raises(PluginError, match="'bell': is taken"):
        load(BELL, SettingsSection("bell", Deep))


@pytest.mark.parametrize("name", ["fees", "venue", "secrets"])
def test_a_plugin_cannot_own_what_is_cores(load: Load, name: str) -> None:
    with pytest.raises(PluginError, match="is taken"):
        load(SettingsSection(name, Bell))


def test_a_section_class_must_be_an_attrs_class(load: Load) -> None:
    with pytest.raises(PluginError, match="int is not an attrs class"):
        Settings().section("bell", int)


@hypothesis_settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(
        st.sampled_from(
            [
                "ARBITRADE_VENUE",
                "ARBITRADE_FEES__TAKER",
                "ARBITRADE_FEES__OVERRIDES",
                "ARBITRADE_FEES__CHARGED_IN",
                "ARBITRADE_FEATURES__STATARB",
                "ARBITRADE_PLUGINS__ENABLED",
                "ARBITRADE_BELL__TONES",
                "ARBITRADE_BELL__TOKEN_FILE",
                "ARBITRADE_BELL__LEVEL__X",
                "ARBITRADE___",
            ]
        ),
        st.one_of(
            st.text(), st.sampled_from(["[", "{}", "[[1]]", '{"a": {}}', "nan", "1e999999999"])
        ),
    )
)
def test_whatever_is_written_is_either_settings_or_told(
    load: Load, environ: dict[str, str]
) -> None:
    with contextlib.suppress(ConfigError):
        assert isinstance(load(BELL, environ=environ), Settings)


# ── secrets ──────────────────────────────────────────────────────────────────────────────────────


def test_a_secret_comes_from_the_file_a_variable_names(tmp_path: Path, load: Load) -> None:
    file = tmp_path / "token"
    file.write_bytes(f" {CANARY}\n\n".encode())
    file.chmod(0o600)
    settings = load(BELL, environ={"ARBITRADE_BELL__TOKEN_FILE": str(file)})
    # One newline at the end is the editor's; everything else may belong to the secret.
    assert settings.section("bell", Bell).token == Secret(f" {CANARY}\n")


def test_a_secret_in_a_nested_class_is_found(tmp_path: Path, load: Load) -> None:
    file = tmp_path / "secret"
    file.write_text(CANARY)
    file.chmod(0o600)
    direct = load(DEEP, environ={"ARBITRADE_DEEP__ACCOUNT__API_SECRET": CANARY})
    by_file = load(DEEP, environ={"ARBITRADE_DEEP__ACCOUNT__API_SECRET_FILE": str(file)})
    for settings in (direct, by_file):
        assert settings.section("deep", Deep).account.api_secret == Secret(CANARY)


def test_a_secret_in_a_class_that_may_be_missing_is_found(tmp_path: Path, load: Load) -> None:
    @attrs.frozen
    class Section:
        account: Account | None = None

    section = SettingsSection("maybe", Section)
    assert load(section).section("maybe", Section) == Section()
    environ = {"ARBITRADE_MAYBE__ACCOUNT__API_SECRET": CANARY}
    assert load(section, environ=environ).section("maybe", Section) == Section(
        Account(Secret(CANARY))
    )


def test_a_field_that_ends_in_file_is_a_field_like_any_other(load: Load) -> None:
    @attrs.frozen
    class Section:
        key: Secret | None = None
        key_file: str = ""

    section = SettingsSection("keyed", Section)
    environ = {"ARBITRADE_KEYED__KEY": CANARY, "ARBITRADE_KEYED__KEY_FILE": "name"}
    assert load(section, environ=environ).section("keyed", Section) == Section(
        Secret(CANARY), "name"
    )


def test_a_secret_for_a_plugin_that_registers_none_is_found_too(tmp_path: Path, load: Load) -> None:
    file = tmp_path / "token"
    file.write_text(CANARY)
    file.chmod(0o600)
    environ = {"ARBITRADE_BELL__TOKEN_FILE": str(file)}
    settings = load(environ=environ, plugin_names=("bell",))
    assert settings.section("bell", Bell).token == Secret(CANARY)


def test_a_secret_and_its_file_contradict(tmp_path: Path, load: Load) -> None:
    environ = {"ARBITRADE_BELL__TOKEN": CANARY, "ARBITRADE_BELL__TOKEN_FILE": "x"}
    assert problems_of(load, BELL, environ=environ) == [
        "bell.token: both token and token_file are set; remove one of them"
    ]


@pytest.mark.parametrize("content", [None, b"", b"\n", b"\xff\xfe"])
def test_a_secret_file_that_is_no_good_is_told(
    tmp_path: Path, load: Load, content: bytes | None
) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
        file.chmod(0o600)
    [problem] = problems_of(load, BELL, environ={"ARBITRADE_BELL__TOKEN_FILE": str(file)})
    assert problem.startswith("bell.token_file: ")


def test_a_file_others_may_read_is_used_with_a_warning(
    tmp_path: Path, load: Load, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "token"
    file.write_text(CANARY)
    file.chmod(0o644)
    if not file.stat().st_mode & 0o044:
        pytest.skip("this system has no modes for others")
    settings = load(BELL, environ={"ARBITRADE_BELL__TOKEN_FILE": str(file)})
    assert settings.section("bell", Bell).token == Secret(CANARY)
    assert f"chmod 600 {file}" in caplog.text


def test_a_file_of_secrets_others_may_read_is_used_with_a_warning(
    tmp_path: Path,
    write: Callable[[str, str], None],
    load: Load,
    caplog: pytest.LogCaptureFixture,
) -> None:
    write(".secrets.toml", f"[bell]\ntoken = '{CANARY}'\n")
    file = tmp_path / ".secrets.toml"
    file.chmod(0o600)
    load(BELL)
    assert caplog.text == ""
    file.chmod(0o644)
    if not file.stat().st_mode & 0o044:
        pytest.skip("this system has no modes for others")
    load(BELL)
    assert f"chmod 600 {file}" in caplog.text


def test_an_empty_variable_is_a_secret_that_is_not_set(load: Load) -> None:
    environ = {"ARBITRADE_BELL__TOKEN": "", "ARBITRADE_BELL__TOKEN_FILE": ""}
    assert load(BELL, environ=environ).section("bell", Bell).token is None


def test_a_secret_in_the_open_file_is_refused_without_showing_it(
    write: Callable[[str, str], None], load: Load
) -> None:
    write("settings.toml", f"[Bell]\nToken = '{CANARY}'\n[deep.account]\napi_secret = '{CANARY}'\n")
    first, second = problems_of(load, BELL, DEEP)
    assert first.startswith("bell.token: a secret in the open (settings.toml); move it")
    assert second.startswith("deep.account.api_secret: a secret in the open")
    assert CANARY not in first + second


def test_an_unquoted_secret_is_refused_without_showing_it(
    write: Callable[[str, str], None], load: Load
) -> None:
    write(".secrets.toml", "[bell]\ntoken = 123456789\n")
    [problem] = problems_of(load, BELL)
    assert problem == "bell.token: a secret is text, not int; put it in quotes (.secrets.toml)"


def test_a_misspelled_secret_is_refused_without_showing_it(load: Load) -> None:
    [problem] = problems_of(load, BELL, environ={"ARBITRADE_BELL__TOKN": CANARY})
    assert "did you mean token?" in problem
    assert CANARY not in problem


def test_settings_do_not_show_their_secrets(load: Load) -> None:
    settings = load(BELL, environ={"ARBITRADE_BELL__TOKEN": CANARY})
    shown = f"{settings!r} {settings} {settings.section('bell', Bell)} {settings.sections!r}"
    assert CANARY not in shown
    assert "********" in shown


def test_settings_taken_apart_still_do_not_show_their_secrets(
    write: Callable[[str, str], None], load: Load
) -> None:
    write(
        ".secrets.toml", f"[deep.account]\napi_secret = '{CANARY}'\n[other]\nlist = ['{CANARY}']\n"
    )
    environ = {"ARBITRADE_BELL__TOKEN": CANARY, "ARBITRADE_OTHER__TOKEN": CANARY}
    settings = load(BELL, DEEP, environ=environ, plugin_names=("other",))
    assert CANARY not in repr(attrs.asdict(settings))
    assert settings.section("deep", Deep).account.api_secret == Secret(CANARY)
    with pytest.raises(TypeError):
        pickle.dumps(dict(settings.sections))


def test_a_misplaced_secret_among_secrets_is_refused_without_showing_it(
    write: Callable[[str, str], None], load: Load
) -> None:
    write(".secrets.toml", f"[bell]\ntones = ['{CANARY}']\nlevel = '{CANARY}'\n")
    for problem in problems_of(load, BELL):
        assert "********" in problem
        assert CANARY not in problem


def test_a_failing_load_keeps_the_secret_out_of_its_traceback(load: Load) -> None:
    with pytest.raises(ConfigError) as caught:
        load(BELL, environ={"ARBITRADE_BELL__TOKEN": CANARY, "ARBITRADE_BELL__LEVEL": "loud"})
    told = "".join(traceback.format_exception(caught.value))
    assert CANARY not in told
