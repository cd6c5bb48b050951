import re

import pytest

from arbitrade import MigrationSeries
from arbitrade.errors import PluginError
from arbitrade.plugins import PluginRegistry
from arbitrade.plugins.builtin import migrations_folder


def series(folder, *names: str) -> MigrationSeries:
    for name in names:
        (folder / name).write_text("SELECT 1;")
    return MigrationSeries("bell", folder)


def test_files_come_in_the_order_of_their_numbers(tmp_path):
    found = series(tmp_path, "0002_more.sql", "0001_first.sql", "0003_index_2.sql").files()
    assert [path.name for path in found] == ["0001_first.sql", "0002_more.sql", "0003_index_2.sql"]


def test_other_files_beside_them_are_left_alone(tmp_path):
    (tmp_path / "README.md").write_text("")
    assert len(series(tmp_path, "0001_first.sql").files()) == 1


@pytest.mark.parametrize(
    ("names", "wrong"),
    [
        (("0001_a.sql", "0003_b.sql"), "0003_b.sql should be 0002"),
        (("0001_a.sql", "0001_b.sql"), "0001_b.sql should be 0002"),
        (("0002_a.sql",), "0002_a.sql should be 0001"),
        (("0001-a.sql",), "0001-a.sql should be 0001_name.sql"),
        (("1_a.sql",), "1_a.sql should be 0001_name.sql"),
        (("0001_A.sql",), "0001_A.sql should be 0001_name.sql"),
    ],
)
def test_gap_twin_or_malformed_name_is_refused_naming_owner_and_file(tmp_path, names, wrong):
    with pytest.raises(PluginError, match=re.escape(f"bell: migration {wrong}")):
        series(tmp_path, *names).files()


@pytest.mark.parametrize("folder", ["missing", "."])
def test_folder_without_migrations_is_refused(tmp_path, folder):
    with pytest.raises(PluginError, match=r"bell: no migrations in .*don't register the series"):
        MigrationSeries("bell", tmp_path / folder).files()


def test_core_registers_its_tables_through_arbitrade_register_migrations():
    (own,) = PluginRegistry.of([]).migrations()
    assert own == MigrationSeries("core", migrations_folder())
    assert own.files()[0].name == "0001_initial.sql"


def test_first_migration_makes_the_table_of_runs_with_its_constraints():
    text = (migrations_folder() / "0001_initial.sql").read_text(encoding="utf-8")
    table = text[text.index("CREATE TABLE run") : text.index(");\n\n")]
    for column in ("id", "account", "mode", "started_at", "version", "settings_digest"):
        assert re.search(rf"^    {column} +\w+ +(NOT NULL|PRIMARY KEY)", table, re.MULTILINE), (
            column
        )
    assert "'live', 'paper', 'replay'" in table
