"""Bazel's `--experimental_remote_downloader`: our server downloads what a workspace names."""

from __future__ import annotations

import hashlib
import http.server
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real import sites
from tests.real.sites import Site

pytestmark = pytest.mark.real
DATA = os.urandom(2_000_000)
FAILED = 2
LOADED = 'load("@bazel_tools//tools/build_defs/repo:http.bzl", "http_file")\n'


class Origin:
    """An HTTP server of this machine; `asked` holds path and program of each request."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        asked = self.asked

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append((self.path, self.headers["user-agent"]))
                body = DATA if self.path == "/data" else b""
                self.send_response(200 if body else 404)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    made = Origin()
    yield made
    made.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with sites.all_in_one(tmp_path_factory.mktemp("all")) as running:
        yield running


class Fetcher:
    """Bazel on a workspace of external files."""

    def __init__(self, root: Path, state: Path, site: Site) -> None:
        self._root = root
        self._bazel = ["bazel", f"--output_user_root={state}"]
        self._options = [
            f"--experimental_remote_downloader={site.endpoint}",
            f"--remote_cache={site.endpoint}",
            "--repository_cache=",
        ]
        self.output_base = Path(self.run("info", "output_base").stdout.strip())

    def run(self, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        ended = subprocess.run(
            [*self._bazel, *arguments], cwd=self._root, capture_output=True, text=True, timeout=120, check=False
        )
        assert ended.returncode == code, ended.stderr
        return ended

    def fetch(self, name: str, code: int = 0) -> str:
        return self.run("fetch", *self._options, f"@{name}//file", code=code).stderr


@pytest.fixture(scope="module")
def fetcher(site: Site, origin: Origin, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fetcher]:
    root = tmp_path_factory.mktemp("external")
    right, wrong = (hashlib.sha256(data).hexdigest() for data in (DATA, b"other"))
    files = {
        "good": ([f"{origin.url}/gone", f"{origin.url}/data"], right),
        "again": ([f"{origin.url}/gone", f"{origin.url}/data"], right),
        "changed": ([f"{origin.url}/data"], wrong),
        "unchecked": (["https://localhost:1/data"], ""),
    }
    rules = [
        f'http_file(name = "{name}", urls = {urls!r}, sha256 = "{sum_}")\n' for name, (urls, sum_) in files.items()
    ]
    (root / "WORKSPACE").write_text(LOADED + "".join(rules))
    made = Fetcher(root, tmp_path_factory.mktemp("bazel"), site)
    yield made
    made.run("shutdown")


def test_the_server_downloads_from_the_mirror_that_has_the_file_and_only_once(fetcher: Fetcher, origin: Origin) -> None:
    for name in ("good", "again"):
        fetcher.fetch(name)
        assert (fetcher.output_base / f"external/{name}/file/downloaded").read_bytes() == DATA
    assert origin.asked == [("/gone", "nlserver"), ("/data", "nlserver")]


def test_content_that_has_changed_is_refused(fetcher: Fetcher) -> None:
    assert "Checksum was" in fetcher.fetch("changed", code=FAILED)


def test_a_file_without_a_checksum_is_refused_and_not_taken_for_empty(fetcher: Fetcher) -> None:
    assert "is not fetched without a checksum" in fetcher.fetch("unchecked", code=FAILED)
