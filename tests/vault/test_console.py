"""The program `swapdesk-vault`: what it says when a site cannot be used, and what init leaves."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from typer.testing import CliRunner

from swapdesk_vault.console import DEV_WORDS, app
from swapdesk_vault.keys import Keyring
from tests.postgres import Dsns

SITE = """
world = "{world}"
desk_url = "http://127.0.0.1:1"
seed_file = "vault.seed"
public_file = "out/vault.pub.json"
passphrase_file = "passphrase"
database_url_file = "app.dsn"
database_owner_url_file = "owner.dsn"
{more}
[networks.bitcoin]
urls = ["http://127.0.0.1:1"]
"""
FIXED = '[rates.fixed]\nBTC = "1"\n'


@pytest.fixture
def runner() -> Iterator[CliRunner]:
    """Runs commands in this process; what `run` did to the logs is undone."""
    yield CliRunner()
    structlog.reset_defaults()


def site(folder: Path, dsns: Dsns | None = None, world: str = "dev", more: str = FIXED) -> str:
    """A site file with its secrets beside it."""
    path = folder / "vault.toml"
    path.write_text(SITE.format(world=world, more=more))
    (folder / "passphrase").write_text("open sesame\n")
    if dsns:
        (folder / "app.dsn").write_text(dsns.app)
        (folder / "owner.dsn").write_text(dsns.owner)
    return str(path)


def test_a_new_seed_is_shown_once(runner: CliRunner, vault_dsns: Dsns, tmp_path: Path) -> None:
    """24 words once, sealed on disk, only public keys in the public file; repeating keeps all."""
    path = site(tmp_path, vault_dsns)
    first = runner.invoke(app, ["init", "--site", path])
    assert first.exit_code == 0, first.output
    [words] = [line.strip() for line in first.output.splitlines() if len(line.split()) == 24]
    sealed = (tmp_path / "vault.seed").read_bytes()
    public = (tmp_path / "out/vault.pub.json").read_text()
    assert words.encode() not in sealed
    assert json.loads(public)["xpubs"]["bitcoin"] == Keyring.from_words(words, "dev").deposit_xpub(
        "bitcoin"
    )
    assert "prv" not in public
    again = runner.invoke(app, ["init", "--site", path])
    assert again.exit_code == 0, again.output
    assert words not in again.output
    assert (tmp_path / "vault.seed").read_bytes() == sealed
    assert runner.invoke(app, ["init", "--site", path, "--words"], input=DEV_WORDS).exit_code == 2


def test_words_are_taken_over(runner: CliRunner, vault_dsns: Dsns, tmp_path: Path) -> None:
    """A known phrase from standard input; wrong words are refused and leave nothing."""
    path = site(tmp_path, vault_dsns)
    wrong = runner.invoke(app, ["init", "--site", path, "--words"], input="abandon " * 12)
    assert wrong.exit_code == 2
    assert "abandon" not in wrong.output
    assert not (tmp_path / "vault.seed").exists()
    taken = runner.invoke(app, ["init", "--site", path, "--words"], input=DEV_WORDS)
    assert taken.exit_code == 0, taken.output
    assert "abandon" not in taken.output
    status = runner.invoke(app, ["status", "--site", path])
    assert status.exit_code == 0
    key = Keyring.from_words(DEV_WORDS, "dev").link_key().public_key().public_bytes_raw().hex()
    assert key in status.output
    assert "running    no" in status.output


def test_another_seed_does_not_get_the_database(
    runner: CliRunner, vault_dsns: Dsns, tmp_path: Path
) -> None:
    """A database keeps the vault it was given to."""
    assert runner.invoke(app, ["init", "--site", site(tmp_path, vault_dsns)]).exit_code == 0
    other = tmp_path / "other"
    other.mkdir()
    refused = runner.invoke(app, ["init", "--dev-seed", "--site", site(other, vault_dsns)])
    assert refused.exit_code == 2
    assert "cannot change" in refused.output


@pytest.mark.parametrize(
    ("world", "more", "words"),
    [
        ("main", FIXED, "rates.fixed is for the dev world only"),
        ("dev", "colour = 1\n" + FIXED, "colour"),
        ("dev", "[policy]\norder_usd = -1\n" + FIXED, "negative"),
        ("dev", "[policy]\norder_eur = 1\n" + FIXED, "order_eur"),
        ("moon", FIXED, "world"),
        ("dev", "[[", "vault.toml"),
    ],
)
def test_a_wrong_site_file_is_explained(
    runner: CliRunner, tmp_path: Path, world: str, more: str, words: str
) -> None:
    """One line that names the file and the field, exit status 2."""
    told = runner.invoke(app, ["status", "--site", site(tmp_path, world=world, more=more)])
    assert told.exit_code == 2
    assert words in told.output
    assert "Traceback" not in told.output


def test_main_needs_two_live_sources(runner: CliRunner, vault_dsns: Dsns, tmp_path: Path) -> None:
    """Without own rates a vault of the main world does not start; nor does one with dev seed."""
    path = site(tmp_path, vault_dsns, world="main", more="")
    assert runner.invoke(app, ["init", "--dev-seed", "--site", path]).exit_code == 2
    assert runner.invoke(app, ["init", "--site", path]).exit_code == 0
    told = runner.invoke(app, ["run", "--site", path])
    assert told.exit_code == 2
    assert "needs 2 rate sources" in told.output


def test_no_seed_no_database_wrong_passphrase(
    runner: CliRunner, vault_dsns: Dsns, tmp_path: Path
) -> None:
    """Each is one line that says what to do."""
    path = site(tmp_path, vault_dsns)
    assert "init" in runner.invoke(app, ["run", "--site", path]).output
    assert "init" in runner.invoke(app, ["status", "--site", path]).output
    assert runner.invoke(app, ["init", "--site", path]).exit_code == 0
    (tmp_path / "passphrase").write_text("close sesame\n")
    told = runner.invoke(app, ["run", "--site", path])
    assert told.exit_code == 2
    assert "passphrase" in told.output
    (tmp_path / "app.dsn").unlink()
    assert "app.dsn" in runner.invoke(app, ["status", "--site", path]).output
    nowhere = runner.invoke(app, ["status", "--site", str(tmp_path / "none.toml")])
    assert "SWAPDESK_VAULT_SITE" in nowhere.output


def test_help_teaches(runner: CliRunner) -> None:
    """Every command is listed and explained."""
    told = runner.invoke(app, ["--help"]).output
    for command in ("init", "run", "status", "resume", "judge", "addresses"):
        assert command in told
        assert runner.invoke(app, [command, "--help"]).exit_code == 0
