"""Secrets are taken out of text and documents, and what is none stays."""

from __future__ import annotations

import json
import random
import string

import json5
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlctl.support.redaction import MARK, Redactor

KEY = "-----BEGIN RSA PRIVATE KEY-----\nTUlJRXBBSUJBQUtDQVFFQQ\nc2VjcmV0c2VjcmV0\n-----END RSA PRIVATE KEY-----"


def secret(seed: str, length: int = 24) -> str:
    return "".join(random.Random(seed).choices(string.ascii_letters + string.digits, k=length))


S = {name: secret(name) for name in "abcdefghijklmnopqrstuvwxyz"}
TEXTS = {
    "JSON5 key": f'{{password: "{S["a"]}"}}',
    "quoted JSON key": f'{{"secret_access_key": "{S["b"]}"}}',
    "single quotes": f"api-key: '{S['c']}'",
    "bare YAML": f"db_password: {S['d']}\n",
    "assignment": f"GITHUB_TOKEN={S['e']} make",
    "list": f'{{tokens: ["{S["f"]}", "{S["g"]}"]}}',
    "escaped JSON in a log": f'{{"message": "{{\\"token\\": \\"{S["h"]}\\"}}"}}',
    "URL password": f"redis://user:{S['i']}@10.0.0.1:6379/0",
    "URL password with a slash": f"redis://user:{S['j']}/x@10.0.0.1:6379/0",
    "URL user": f"https://{S['k']}@example.org/repo.git",
    "query": f"https://blob.example.org/x?sv=1&sig={S['l']}&se=2",
    "flag": f"server --auth-token {S['m']} --port 1",
    "flag with =": f"server --password={S['n']}",
    "flag in a list": f"['server', '--client-secret', '{S['o']}', '--port', '1']",
    "bearer": f"authorization: Bearer {S['p']}",
    "basic header in a dictionary": f"{{'Authorization': 'Basic {S['q']}=='}}",
    "cookie": f"Set-Cookie: sid={S['r']}; Path=/",
    "custom header": f"x-api-key: {S['s']}",
    "netrc": f"machine example.org login me password {S['t']}",
    "account key": f"AccountName=x;AccountKey={S['u']};EndpointSuffix=core",
    "auth of a docker config": f'{{"auths": {{"example.org": {{"auth": "{S["v"]}"}}}}}}',
    "AWS id": "AKIAIOSFODNN7EXAMPLE",
    "GitHub": "found ghp_" + secret("ghp", 36),
    "GitLab": "glpat-" + secret("glpat", 20),
    "Slack": "xoxb-1234567890-" + secret("xoxb"),
    "Google": "AIza" + secret("google", 35),
    "JWT": f"eyJ{secret('1')}.eyJ{secret('2')}.{secret('3')}",
    "private key": f"before {KEY} after",
    "private key in JSON": json.dumps({"private": KEY}),
}
HARMLESS = (
    "token_file: /etc/nlctl/token",
    "authority and author are words, passed: 3, bypass=1",
    'password: "${REDIS_PASSWORD}"',
    "2026-11-26T15:00:00.123Z INFO Executing action action=44f1c2aa0be3/142 worker=worker-1",
    "grpc://127.0.0.1:50051 and https://example.org:8443/a@b/c",
    '{"hash": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "size_bytes": 0}',
    "PWD=/home/me",
    'key: "value", keepalive: 3, "secret": null, use_token: true',
)


@pytest.mark.parametrize("name", TEXTS)
def test_a_secret_is_taken_out(name: str) -> None:
    redactor = Redactor()
    left = redactor.text(TEXTS[name])
    hidden = [value for value in S.values() if value in TEXTS[name]]
    assert all(value not in left for value in hidden)
    assert MARK in left
    assert "TUlJ" not in left
    assert sum(redactor.counts.values()) >= 1
    assert redactor.text(left) == left


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_no_secret_stays(text: str) -> None:
    redactor = Redactor()
    assert redactor.text(text) == text
    assert not redactor.counts


def test_json5_stays_json5_and_keeps_its_other_values() -> None:
    redis = '{addresses: ["redis://u:pw123456@h:1"], password: \'x"y\'}'
    text = f'{{// note\n stores: [{{name: "A", redis_store: {redis}}}], n: 1}}'
    document = json5.loads(Redactor().text(text))
    store = document["stores"][0]["redis_store"]
    assert store == {"addresses": [f"redis://u:{MARK}@h:1"], "password": MARK}
    assert document["n"] == 1


def test_what_was_learnt_is_taken_out_where_nothing_names_it() -> None:
    redactor = Redactor()
    redactor.text('{password: "hunter2hunter2"}')
    redactor.learn_environment(
        [("DB_PASSWORD", "from-the-environment"), ("EDITOR", "vim-is-none"), ("PWD", "/home/me")]
    )
    redactor.learning = False
    assert redactor.text("login failed: hunter2hunter2") == f"login failed: {MARK}"
    assert redactor.text("tried from-the-environment") == f"tried {MARK}"
    assert redactor.text("vim-is-none in /home/me") == "vim-is-none in /home/me"
    redactor.text("Invalid token: expected end of line")
    assert redactor.text("it was expected") == "it was expected"


def test_a_private_key_over_many_lines_of_a_log_is_taken_out_to_its_end() -> None:
    lines = [f"{line}\n" for line in ("before", *KEY.splitlines(), "after")]
    left = "".join(Redactor().lines(lines))
    assert [line for line in left.splitlines() if line] == ["before", MARK, "after"]
    cut = "".join(Redactor().lines(lines[:3]))
    assert "TUlJ" not in cut


def test_documents_lose_the_values_under_speaking_names() -> None:
    document = {"a": [{"client_secret": "sesame-open", "size": 3}], "token": 12345, "url": "http://u:secretpw@h"}
    left = Redactor().document(document)
    assert left["a"] == [{"client_secret": MARK, "size": 3}]
    assert left["url"] == f"http://u:{MARK}@h"


def test_variables_keep_their_names_and_only_harmless_values() -> None:
    left = Redactor().environment({"LANG": "C", "ANY": "private"}, frozenset({"LANG"}))
    assert left == {"LANG": "C", "ANY": f"{MARK} (7 characters)"}


def test_nothing_is_taken_out_where_that_is_asked() -> None:
    redactor = Redactor(off=True)
    assert redactor.text(TEXTS["flag"]) == TEXTS["flag"]
    assert redactor.document({"password": "x"}) == {"password": "x"}
    assert list(redactor.lines(KEY.splitlines())) == KEY.splitlines()


@settings(deadline=None)
@given(st.text(max_size=300))
def test_any_text_is_redacted_without_failing_and_twice_is_as_once(text: str) -> None:
    redactor = Redactor()
    redactor.learning = False
    redactor.text(text)
