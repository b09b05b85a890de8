"""Which cluster a command speaks to: contexts here and elsewhere, and who has the say."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nlctl.arguments import Invocation, Rank, cut
from nlctl.contexts import Access, Context, parse, problem_of
from nlctl.defaults import complete, project_file
from nlctl.faults import Fault
from tests.nlctl.conftest import Cli
from tests.nlctl.documents import valid
from tests.nlctl.elsewhere import everything, server, worker

NOWHERE = "grpc://127.0.0.1:1"


def _settled(folder: Path, *words: str, **environment: str) -> Invocation:
    made = cut(words, environment)
    complete(made, folder, environment)
    return made


class TestPrecedence:
    """Flag, variable, project, context, user: what stands first wins."""

    def test_a_flag_beats_the_variable_and_that_the_project_and_that_the_user(self, tmp_path: Path) -> None:
        user, project = tmp_path / "xdg" / "nlctl", tmp_path / "project"
        user.mkdir(parents=True)
        (project / ".git").mkdir(parents=True)
        xdg = {"XDG_CONFIG_HOME": str(tmp_path / "xdg")}
        (user / "config.toml").write_text('output = "jsonl"\ncontext = "users"\n')
        (project / "nlctl.toml").write_text('context = "projects"\n')
        words = ("ps",)
        assert _settled(tmp_path, *words, **xdg).texts["context"] == "users"
        settled = _settled(project, *words, **xdg)
        assert (settled.texts["context"], settled.texts["output"]) == ("projects", "jsonl")
        assert settled.origins["context"].rank is Rank.PROJECT
        assert settled.origins["context"].where == str(project / "nlctl.toml")
        assert _settled(project, *words, NLCTL_CONTEXT="shells", **xdg).texts["context"] == "shells"
        flagged = _settled(project, "-C", "flags", *words, NLCTL_CONTEXT="shells", **xdg)
        assert flagged.texts["context"] == "flags"
        assert flagged.origins["context"].where == "-C"

    def test_the_project_file_is_sought_up_to_the_root_of_the_repository_and_no_further(self, tmp_path: Path) -> None:
        deep = tmp_path / "repository" / "some" / "where"
        deep.mkdir(parents=True)
        (tmp_path / "nlctl.toml").write_text("")
        assert project_file(deep) is None
        assert project_file(tmp_path) == tmp_path / "nlctl.toml"
        (tmp_path / "repository" / ".git").mkdir()
        assert project_file(deep) is None
        (tmp_path / "repository" / "nlctl.toml").write_text("")
        assert project_file(deep) == tmp_path / "repository" / "nlctl.toml"

    @pytest.mark.parametrize("text", ["context =", 'colour = "red"', "context = 7", 'output = "xml"'])
    def test_a_wrong_settings_file_is_named(self, cli: Cli, text: str) -> None:
        (cli.home / "nlctl.toml").write_text(text)
        done = cli("context", "ls", "--json", code=13)
        assert valid(done.fault)["code"] == "NL-CTX-104"
        assert str(cli.home / "nlctl.toml") in done.fault["message"]

    def test_a_context_that_is_given_beats_an_endpoint_of_lesser_right(self, cli: Cli) -> None:
        cli("context", "add", "far", "grpc://127.0.0.1:2", "--use")
        name = lambda *words, **env: cli("context", "show", "--no-ask", "--json", *words, **env).document["item"]  # noqa: E731
        assert name(NLCTL_ENDPOINT=NOWHERE)["cas"] == NOWHERE
        assert name("-C", "far", NLCTL_ENDPOINT=NOWHERE)["cas"] == "grpc://127.0.0.1:2"
        assert name("--endpoint", NOWHERE, NLCTL_CONTEXT="far")["chosen_by"] == "--endpoint"

    def test_the_instance_of_the_project_beats_that_of_the_context_and_that_the_users(self, cli: Cli) -> None:
        cli("context", "add", "far", NOWHERE, "--instance", "contexts", "--use")
        instance = lambda: cli("context", "show", "--no-ask", "--json").document["item"]["instance"]  # noqa: E731
        (cli.home / ".config" / "nlctl" / "config.toml").write_text('instance = "users"')
        assert instance() == "contexts"
        (cli.home / "nlctl.toml").write_text('instance = "projects"')
        assert instance() == "projects"


class TestKeeping:
    """Adding, renaming, removing, carrying from machine to machine; nothing is connected to."""

    def test_a_context_is_added_used_renamed_and_removed(self, cli: Cli) -> None:
        cli("context", "add", "one", NOWHERE, "--executor", "grpc://127.0.0.1:2")
        valid(cli("context", "add", "two", "grpcs://cas.example", "--instance", "main", "--json").document)
        used = valid(cli("context", "use", "one", "--json").document)["item"]
        assert (used["change"], used["before"]) == ("chosen", None)
        assert "was: one" in cli("context", "use", "two").err
        rows = valid(cli("context", "ls", "--json").document)["items"]
        assert {row["name"]: row["current"] for row in rows} == {"one": False, "two": True}
        cli("context", "rename", "two", "second")
        assert valid(cli("context", "show", "--no-ask", "--json").document)["item"]["name"] == "second"
        cli("context", "rm", "second")
        assert cli("context", "ls", "-q").out == "one\n"
        cli("context", "use", "second", code=3)

    def test_a_dry_run_changes_nothing(self, cli: Cli) -> None:
        cli("context", "add", "one", NOWHERE)
        before = sorted(path.read_bytes() for path in cli.home.rglob("*") if path.is_file())
        cli("context", "add", "two", NOWHERE, "--dry-run")
        cli("context", "use", "one", "-n")
        cli("context", "rename", "one", "two", "-n")
        cli("context", "rm", "one", "-n")
        cli("context", "import", "-", "--name", "two", "-n", given=f'cas = "{NOWHERE}"')
        assert sorted(path.read_bytes() for path in cli.home.rglob("*") if path.is_file()) == before

    def test_what_is_exported_is_imported_alike(self, cli: Cli, tmp_path: Path) -> None:
        token = tmp_path / "token"
        token.write_text("secret")
        cli("context", "add", "one", "grpcs://cas.example", "--token-file", str(token), "--instance", 'a "b" \\ ü')
        text = cli("context", "export", "one").out
        assert "secret" not in text
        valid(cli("context", "export", "one", "--json").document)
        cli("context", "import", "-", "--name", "two", given=text)
        shown = [cli("context", "show", name, "--no-ask", "--json").document["item"] for name in ("one", "two")]
        assert {**shown[0], "name": ""} == {**shown[1], "name": ""}
        assert shown[0]["instance"] == 'a "b" \\ ü'

    def test_a_taken_name_and_a_wrong_context_are_refused(self, cli: Cli) -> None:
        cli("context", "add", "one", NOWHERE)
        assert "NL-CTX-103" in cli("context", "add", "one", NOWHERE, code=7).err
        cli("context", "add", "one", "grpc://127.0.0.1:3", "--replace")
        assert "is no endpoint" in cli("context", "add", "two", "127.0.0.1:3", code=2).err
        assert "is no file" in cli("context", "add", "two", NOWHERE, "--token-file", "nope", code=2).err
        cli("context", "add", "Bad Name", NOWHERE, code=2)
        assert "'server' is no key" in cli("context", "import", "-", "--name", "x", given='server = "a"', code=13).err
        assert "has no name" in cli("context", "import", "-", given=f'cas = "{NOWHERE}"', code=2).err

    def test_a_token_goes_to_nobody_in_plain_text(self) -> None:
        secret = Access(token_file="/some/token")
        assert "plain text" in problem_of(Context("x", "grpc://cas.example:1", "grpc://127.0.0.1:1", access=secret))
        assert problem_of(Context("x", "grpcs://cas.example:1", "grpc://127.0.0.1:1", access=secret)) == ""

    def test_every_context_survives_being_written(self) -> None:
        access = Access("/ca", "/cert", "/key", "/tok")
        made = Context("x", "grpcs://a", "grpcs://b", "grpcs://c", "http://d/admin", "S", "i", access)
        assert parse("x", made.text(), "here") == made
        with pytest.raises(Fault, match="no context"):
            parse("x", "schema = 2", "here")


class TestElsewhere:
    """Commands against a server that was given a name."""

    @pytest.fixture
    def secured(self, tmp_path: Path) -> Iterator[tuple[Path, int]]:
        """A TLS server with the admin service, and the folder of its certificate."""
        folder = tmp_path / "secured"
        folder.mkdir()
        key, cert = folder / "key.pem", folder / "cert.pem"
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        command += ["-keyout", str(key), "-out", str(cert), "-days", "2", "-subj", "/CN=localhost"]
        subprocess.run([*command, "-addext", "subjectAltName=DNS:localhost"], check=True, capture_output=True)
        tls = {"cert_file": str(cert), "key_file": str(key)}
        config = everything(folder, {"admin": {}})
        config["servers"][0]["listener"]["http"]["tls"] = tls
        with server(folder, config) as [port]:
            yield folder, port

    def test_blobs_and_workers_are_reached_by_tls_with_the_files_of_the_context(
        self, cli: Cli, secured: tuple[Path, int]
    ) -> None:
        folder, port = secured
        (cli.home / "token").write_text("who we are\n")
        url = f"grpcs://localhost:{port}"
        files = ("--tls-ca", str(folder / "cert.pem"), "--token-file", str(cli.home / "token"))
        cli("context", "add", "far", url, "--admin", url, *files, "--use")
        shown = valid(cli("context", "show", "--json").document)["item"]
        assert (shown["answers"], shown["capabilities"]["executes"]) == (True, True)
        digest = cli("cas", "put", "-q", "-", given="by tls").out.strip()
        assert cli("cas", "get", digest, "-C", "far").out == "by tls"
        assert cli("workers", "ls", "--json").document["items"] == []
        cli("context", "add", "trusting", url)
        assert cli("context", "show", "trusting", code=4).out.count("no: ") == 1

    def test_what_needs_processes_of_this_machine_is_exit_10(self, cli: Cli) -> None:
        cli("context", "add", "far", NOWHERE, "--use")
        for words in (["ps"], ["status"], ["logs"], ["down"], ["up", "-n"], ["cas", "why", "0" * 64 + "/1"]):
            done = cli(*words, "-o", "json", code=10)
            assert valid(done.fault)["code"] == "NL-NET-105"
            assert "elsewhere" in done.fault["why"]
        assert "NL-NET-105" in cli("ops", "ls", code=10).err
        assert "NL-NET-101" in cli("cas", "stat", "0" * 64 + "/1", code=4).err


class TestNativeLink:
    """A server that has NativeLink's admin route, and of which nothing else is known."""

    @pytest.fixture
    def drained(self, cli: Cli, tmp_path: Path) -> Iterator[str]:
        """The id of a worker of such a server, which the contexts `nl` and `ours` name."""
        data = tmp_path / "data"
        data.mkdir()
        config = everything(data, {"worker_api": {"scheduler": "MAIN"}, "admin": {}})
        with server(tmp_path / "server", config) as [port]:
            url = f"grpc://127.0.0.1:{port}"
            with server(tmp_path / "worker", worker(data, port, "far-worker")):
                route = ("--admin-http", f"http://127.0.0.1:{port}/admin", "--scheduler", "MAIN")
                cli("context", "add", "nl", url, *route, "--use")
                cli("context", "add", "ours", url, "--admin", url)
                [one] = cli("workers", "ls", "-C", "ours", "-o", "json").document["items"]
                yield one["id"]

    def test_a_worker_is_drained_by_its_id_and_gets_work_again(self, cli: Cli, drained: str) -> None:
        state = lambda: cli("workers", "ls", "-C", "ours", "-o", "json").document["items"][0]["state"]  # noqa: E731
        cli("workers", "drain", drained, "--dry-run")
        assert state() == "ready"
        item = valid(cli("workers", "drain", drained, "-o", "json").document)["item"]
        assert (item["workers"][0]["name"], item["workers"][0]["state"], state()) == (
            "far-worker",
            "draining",
            "draining",
        )
        valid(cli("workers", "uncordon", drained, "-o", "json").document)
        assert state() == "ready"
        valid(cli("workers", "cordon", drained, "-o", "json").document)
        assert state() == "draining"
        unknown = cli("workers", "drain", "far-worker", "-o", "json", code=3)
        assert valid(unknown.fault)["server_said"].startswith("Error: ")

    def test_every_command_works_or_is_exit_10_with_a_substitute(self, cli: Cli, drained: str) -> None:
        """Statement 51."""
        cli("workers", "uncordon", drained)
        assert cli("cas", "put", "-q", "-", given="x").code == 0
        assert cli("context", "show").code == 0
        for words in (["workers", "ls"], ["ops", "ls"], ["queue", "ls"], ["events"], ["status"], ["ps"], ["logs"]):
            done = cli(*words, "-o", "json", code=10)
            assert valid(done.fault)["fix"]
            assert "Traceback" not in done.err
        for words in (["scale", "2"], ["restart"], ["down"], ["up", "-n"], ["wait", "--for", "idle"]):
            assert "Traceback" not in cli(*words, code=10).err


def test_a_cluster_here_is_a_context_too(cluster: Cli, tmp_path: Path) -> None:
    [row] = valid(cluster("context", "ls", "--json").document)["items"]
    assert (row["name"], row["where"], row["current"]) == ("dev", "here", True)
    assert "NL-CTX-103" in cluster("context", "add", "dev", NOWHERE, code=7).err
    assert "NL-CTX-103" in cluster("context", "rm", "dev", code=7).err
    other = Cli(tmp_path)
    other("context", "import", "-", "--name", "far", given=cluster("context", "export").out)
    ran: Any = other("run", "-C", "far", "--json", "--", "/bin/echo", "from afar").document["item"]
    assert ran["stdout"] == "from afar\n"
    assert other("workers", "ls", "-C", "far", "-q").out.split() != []


def test_three_folders_are_all_that_a_user_keeps(cli: Cli) -> None:
    """Statement 60."""
    environment = {f"XDG_{kind}_HOME": str(cli.home / kind.lower()) for kind in ("CONFIG", "STATE", "CACHE")}
    cli("context", "add", "far", NOWHERE, "--use", **environment)
    cli("cas", "get", "0" * 64 + "/1", code=4, **environment)
    for kind in ("config", "state", "cache"):
        shutil.rmtree(cli.home / kind, ignore_errors=True)
    assert list(cli.home.iterdir()) == []
