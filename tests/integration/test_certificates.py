"""The certificates that the cluster starts with: made once, kept while they are good, and nobody can sign more."""

from __future__ import annotations

import re
import ssl
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "deploy" / "certificates.sh"
CERTIFICATE = "elasticsearch.crt"
FILES = {"ca.crt", CERTIFICATE, "elasticsearch.key"}


def make(folder: Path, script: Path = SCRIPT) -> str:
    done = subprocess.run(["sh", script, folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def made(tmp_path: Path) -> Path:
    assert "written" in make(tmp_path)
    return tmp_path


def test_there_is_a_key_that_its_owner_and_group_alone_read_and_none_of_the_ca(made: Path) -> None:
    assert set(contents(made)) == FILES
    assert (made / "elasticsearch.key").stat().st_mode & 0o777 == 0o640
    assert (made / "elasticsearch.crt").stat().st_mode & 0o777 == 0o644
    assert [name for name, content in contents(made).items() if b"PRIVATE KEY" in content] == ["elasticsearch.key"]


def test_the_certificate_is_good_for_the_names_that_it_is_asked_by(made: Path) -> None:
    trusting = ssl.create_default_context(cafile=made / "ca.crt")
    (authority,) = trusting.get_ca_certs()
    assert authority["subject"] == authority["issuer"] == ((("commonName", "Soundings CA"),),)
    shown = subprocess.run(
        [
            "openssl",
            "x509",
            "-noout",
            "-ext",
            "subjectAltName,extendedKeyUsage,basicConstraints",
            "-in",
            made / CERTIFICATE,
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert set(re.findall(r"(?:DNS|IP Address):([\w.]+)", shown)) == {"elasticsearch", "localhost", "127.0.0.1"}
    assert "CA:FALSE" in shown
    assert "TLS Web Server Authentication" in shown


def test_what_is_good_is_kept(made: Path) -> None:
    before = contents(made)
    assert "are good" in make(made)
    assert contents(made) == before


def test_what_ends_within_thirty_days_is_made_anew(tmp_path: Path) -> None:
    short = tmp_path / "short.sh"
    short.write_text(SCRIPT.read_text().replace("days=1095", "days=29"))
    folder = tmp_path / "certificates"
    folder.mkdir()
    make(folder, short)
    before = contents(folder)
    assert "written" in make(folder)
    assert [name for name in FILES if contents(folder)[name] == before[name]] == []


@pytest.mark.parametrize("name", sorted(FILES))
def test_what_is_lost_or_of_another_ca_is_made_anew(name: str, made: Path, tmp_path: Path) -> None:
    (made / name).unlink()
    assert "written" in make(made)
    other = tmp_path / "other"
    other.mkdir()
    make(other)
    (made / name).write_bytes((other / name).read_bytes())
    assert "written" in make(made)
    assert "are good" in make(made)


def test_it_says_how_it_is_called() -> None:
    done = subprocess.run(["sh", SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "usage: certificates.sh FOLDER" in done.stderr
