"""From when to when certificates hold, read from real ones."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from nlctl.doctor.certificate import validities


def made(folder: Path, name: str, begins: str, ends: str) -> str:
    """A certificate by openssl, which holds between these days."""
    folder = folder / name
    folder.mkdir()
    path = folder / f"{name}.pem"
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj"]
    words += ["/CN=localhost", "-keyout", str(folder / "key.pem"), "-out", str(folder / "first.pem"), "-days", "1"]
    subprocess.run(words, check=True, capture_output=True)
    (folder / "index").touch()
    (folder / "serial").write_text("01\n")
    (folder / "ca.cnf").write_text(
        "[ca]\ndefault_ca=d\n[d]\n"
        f"new_certs_dir={folder}\ndatabase={folder}/index\nserial={folder}/serial\ndefault_md=sha256\npolicy=p\n"
        "unique_subject=no\n[p]\ncommonName=supplied\n"
    )
    words = ["openssl", "req", "-new", "-key", str(folder / "key.pem"), "-subj", f"/CN={name}", "-out"]
    subprocess.run([*words, str(folder / "request")], check=True, capture_output=True)
    words = ["openssl", "ca", "-batch", "-config", str(folder / "ca.cnf"), "-cert", str(folder / "first.pem")]
    words += ["-keyfile", str(folder / "key.pem"), "-in", str(folder / "request"), "-out", str(path)]
    subprocess.run([*words, "-startdate", begins, "-enddate", ends], check=True, capture_output=True)
    return path.read_text()


def day(text: str) -> float:
    return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).timestamp()


def test_the_times_are_those_that_openssl_wrote_in_both_forms_of_a_year(tmp_path: Path) -> None:
    text = made(tmp_path, "near", "20240229000000Z", "20491231000000Z")
    text += made(tmp_path, "far", "20230101000000Z", "20610704000000Z")
    assert [tuple(one) for one in validities(text)] == [
        (day("2024-02-29"), day("2049-12-31")),
        (day("2023-01-01"), day("2061-07-04")),
    ]


def test_a_file_without_certificates_has_none() -> None:
    assert validities("-----BEGIN PRIVATE KEY-----\nabcd\n-----END PRIVATE KEY-----\n") == []


@pytest.mark.parametrize("body", ["", "MIIB", "MAA=", "AAAA"])
def test_what_only_looks_like_a_certificate_is_an_error(body: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        validities(f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
