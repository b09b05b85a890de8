"""DIR and SYM: input roots, and the links in them."""

from __future__ import annotations

import pytest

from tests.conformance.actions import (
    INVALID,
    PRECONDITION,
    Link,
    Tool,
    action,
    blob,
    code,
    command,
    directory,
    ended,
    missing_in,
    noise,
    outputs,
    run,
    shell,
    stdout,
    subject,
    tree,
)
from tests.conformance.catalogue import rule
from tests.conformance.target import Target, digest, not_applicable, rx

ALLOWED = rx.SymlinkAbsolutePathStrategy.ALLOWED
IMPOSSIBLE = ["", ".", "..", "a/b", "/etc", "../x", "a\0b", "x" * 300]


def rooted(target: Target, root: rx.Directory, script: str = "true") -> rx.Digest:
    """An action in exactly this input root."""
    return action(target, command("/bin/sh", "-c", script), target.put(root))


def file(target: Target, name: str, content: bytes = b"x") -> rx.FileNode:
    return rx.FileNode(name=name, digest=target.put(content))


@rule("DIR-01", "HX-03")
@pytest.mark.parametrize("name", IMPOSSIBLE)
@pytest.mark.parametrize("kind", ["file", "directory", "symlink"])
def test_an_impossible_name_is_invalid(target: Target, worker: None, name: str, kind: str) -> None:
    root = rx.Directory()
    match kind:
        case "file":
            root.files.append(file(target, name))
        case "directory":
            root.directories.add(name=name, digest=target.put(rx.Directory(files=[file(target, "x")])))
        case _:
            root.symlinks.add(name=name, target="t")
    assert code(target, rooted(target, root)) == INVALID
    below = rx.Directory(directories=[rx.DirectoryNode(name="ok", digest=target.put(root))])
    assert code(target, rooted(target, below)) == INVALID


@rule("DIR-02", "HX-04")
@pytest.mark.parametrize("kinds", ["ff", "dd", "ss", "fd", "sd", "fs"])
def test_a_name_that_occurs_twice_is_invalid(target: Target, worker: None, kinds: str) -> None:
    root = rx.Directory()
    for kind in kinds:
        match kind:
            case "f":
                root.files.append(file(target, "a"))
            case "d":
                root.directories.add(name="a", digest=target.put(rx.Directory(files=[file(target, "passwd")])))
            case _:
                root.symlinks.add(name="a", target="/nonexistent")
    assert code(target, rooted(target, root)) == INVALID


@rule("DIR-03", "HX-07")
def test_unsorted_entries_are_taken(target: Target, worker: None) -> None:
    # UTF-16, by which some clients sort, has these two the other way round than UTF-8.
    names = ["\U0001f600", "\uff5e", "b", "a"]
    root = rx.Directory(files=[file(target, name, name.encode()) for name in names])
    assert stdout(target, ended(target, rooted(target, root, 'cat "\uff5e" "\U0001f600" a b'))) == "\uff5e\U0001f600ab"


@rule("DIR-04")
def test_unknown_node_properties_are_ignored_and_known_ones_may_be_applied(target: Target, worker: None) -> None:
    root = rx.Directory(files=[file(target, "f"), file(target, "g")])
    for node in root.files:
        node.node_properties.properties.add(name="Colour", value="red")
    root.files[1].node_properties.unix_mode.value = 0o7640
    root.files[1].node_properties.mtime.seconds = 10**9
    modes = stdout(target, ended(target, rooted(target, root, "cat f; stat -c %a g"))).removeprefix("x").strip()
    assert len(modes) == 3, "no file from outside is set-uid"


@rule("DIR-05")
def test_names_differ_by_case(target: Target, worker: None) -> None:
    assert stdout(target, run(target, "cat Foo foo FOO", {"Foo": "1", "foo": "2", "FOO": "3"})) == "123"


@rule("DIR-06")
def test_executable_files_run_and_others_do_not(target: Target, worker: None) -> None:
    inputs = {"tool": Tool("#!/bin/sh\necho ran\n"), "data": "#!/bin/sh\necho ran\n"}
    assert stdout(target, run(target, "./tool; ./data 2>/dev/null || echo not", inputs)) == "ran\nnot\n"
    modes = stdout(target, run(target, "stat -c %a tool data", inputs)).split()
    assert [int(mode, 8) & 0o111 != 0 for mode in modes] == [True, False]


@rule("DIR-06", "HX-30")
@pytest.mark.parametrize(
    "harm", ["chmod u+w in; echo more >> in", "chmod u+w in; echo other > in", "chmod 0 in", "rm in"]
)
def test_an_action_that_changes_its_input_harms_no_other(target: Target, worker: None, harm: str) -> None:
    content = f"as it was before {noise(b'').hash}"
    for name in ("in", "in"):
        run(target, harm, {name: content})
        assert stdout(target, run(target, "cat in", {name: content})) == content
    assert blob(target, digest(content.encode())) == content.encode()


@rule("DIR-07")
def test_inputs_have_the_content_of_their_digests(target: Target, worker: None) -> None:
    contents = {"empty": b"", "small": b"s", "large": bytes(range(256)) * 9000}
    printed = stdout(target, run(target, "sha256sum empty small large", contents)).split()
    assert printed[::2] == [digest(data).hash for data in contents.values()]


@rule("DIR-08")
def test_every_missing_directory_and_file_is_named(target: Target, worker: None) -> None:
    gone_file, gone_directory, deep = noise(b"f"), noise(b"d"), noise(b"g")
    below = rx.Directory(files=[rx.FileNode(name="deep", digest=deep)])
    root = rx.Directory(files=[rx.FileNode(name="gone", digest=gone_file), file(target, "here")])
    root.directories.add(name="absent", digest=gone_directory)
    root.directories.add(name="below", digest=target.put(below))
    status = ended(target, rooted(target, root)).status
    assert status.code == PRECONDITION
    assert sorted(missing_in(status)) == sorted(map(subject, (gone_file, gone_directory, deep)))


@rule("DIR-09", "HX-01")
@pytest.mark.parametrize("data", [b"\xff" * 40, b"\x0a", b"\x0a\x03\x0a\x01\xff", b"plain text that is no message"])
@pytest.mark.parametrize("depth", [0, 1])
def test_a_blob_that_is_no_directory_is_invalid(target: Target, worker: None, data: bytes, depth: int) -> None:
    bad = target.put(data)
    root = bad if depth == 0 else target.put(rx.Directory(directories=[rx.DirectoryNode(name="a", digest=bad)]))
    assert code(target, action(target, command("true"), root)) == INVALID


@rule("DIR-10", "HX-07", "HX-08")
def test_a_directory_counts_by_its_bytes(target: Target, worker: None) -> None:
    plain = rx.Directory(files=[file(target, "f", b"content")]).SerializeToString()
    # An unknown field, a length that takes more bytes than it needs, and fields in another order.
    unknown = plain + b"\xfa\x3e\x02hi"
    long_length = b"\x0a" + bytes([plain[1] | 0x80, 0x00]) + plain[2:]
    links = rx.Directory(symlinks=[rx.SymlinkNode(name="l", target="f")]).SerializeToString()
    for data in (unknown, long_length, links + plain):
        assert data != rx.Directory.FromString(data).SerializeToString() or data == unknown
        response = ended(target, action(target, command("/bin/cat", "f"), target.put(data)))
        assert stdout(target, response) == "content"


@rule("DIR-11")
def test_one_directory_may_stand_in_many_places(target: Target, worker: None) -> None:
    shared = {"f": "x", "deep": {"g": "y"}}
    script = "cat $(find . -type f) | wc -c"
    assert stdout(target, run(target, script, {f"d{n}": shared for n in range(20)})).strip() == "40"


@rule("DIR-11", "HX-09")
def test_an_input_root_of_exponential_size_is_refused(target: Target, worker: None) -> None:
    below = directory(target, {"f": "x"})
    for _ in range(40):
        below = directory(target, {"a": below, "b": below})
    assert code(target, action(target, command("true"), below)) in (INVALID, 8)


@rule("HX-10")
def test_a_path_that_the_kernel_cannot_take_is_invalid(target: Target, worker: None) -> None:
    below = directory(target, {"f": "x"})
    for _ in range(40):
        below = directory(target, {"n" * 200: below})
    assert code(target, action(target, command("true"), below)) in (INVALID, 8)


@rule("SYM-01")
@pytest.mark.parametrize("to", ["foo/../bar", "./x", "a//b", "..", "../../..", "x/", "\u00e9\n"])
def test_a_target_is_kept_as_it_was_written(target: Target, worker: None, to: str) -> None:
    response = run(
        target, "readlink -n in | od -An -tx1 -v | tr -d ' \\n'; cp -P in out", {"in": Link(to)}, output_paths=["out"]
    )
    assert bytes.fromhex(stdout(target, response)) == to.encode()
    assert {link.target for link in response.result.output_symlinks} == {to}


@rule("SYM-02", "HX-12")
def test_absolute_targets_are_treated_as_announced(target: Target, worker: None) -> None:
    strategy = target.cache.symlink_absolute_path_strategy
    inside = ended(target, shell(target, "readlink in", {"in": Link("/usr/bin")}))
    outside = run(target, "ln -s /usr/bin out", output_paths=["out"])
    if strategy == ALLOWED:
        assert stdout(target, inside) == "/usr/bin\n"
        assert [link.target for link in outside.result.output_symlinks] == ["/usr/bin"]
    else:
        assert inside.status.code == INVALID
        assert outside.status.code == PRECONDITION


@rule("SYM-03")
@pytest.mark.parametrize("to", ["", "a\0b", "x" * 5000])
def test_an_impossible_target_is_invalid(target: Target, worker: None, to: str) -> None:
    assert code(target, rooted(target, rx.Directory(symlinks=[rx.SymlinkNode(name="l", target=to)]))) == INVALID


@rule("SYM-04")
def test_dangling_links_are_legal_as_inputs_and_outputs(target: Target, worker: None) -> None:
    response = run(
        target, "ln -s no/where out; mkdir d; ln -s gone d/l", {"in": Link("missing")}, output_paths=["out", "d"]
    )
    assert response.status.code == 0
    assert [link.target for link in response.result.output_symlinks] == ["no/where"]
    (output,) = response.result.output_directories
    assert [(link.name, link.target) for link in tree(target, output).root.symlinks] == [("l", "gone")]


@rule("SYM-05", "HX-13")
def test_links_out_of_the_input_root_are_told_and_not_followed(target: Target, worker: None) -> None:
    up = "../" * 20 + "etc/hostname"
    response = run(target, f"ln -s {up} out; mkdir d; ln -s {up} d/l", output_paths=["out", "d"])
    assert outputs(response) == {"out": "symlink", "d": "directory"}
    (output,) = response.result.output_directories
    assert not tree(target, output).root.files


@rule("SYM-06", "HX-13")
def test_an_output_below_a_link_is_not_collected(target: Target, worker: None) -> None:
    assert outputs(run(target, "true", {"x": Link("/etc")}, output_paths=["x/hostname"])) == {}
    replaced = run(target, "rm -r out; ln -s /etc out", output_paths=["out/hostname"])
    assert outputs(replaced) == {}
    if target.cache.symlink_absolute_path_strategy != ALLOWED:
        not_applicable("absolute links are not allowed")


@rule("HX-13")
def test_parents_of_outputs_are_not_made_through_input_links(target: Target, worker: None) -> None:
    response = run(target, "ls -A d", {"x": Link("d"), "d": {"f": "1"}}, output_paths=["x/made/out"])
    assert stdout(target, response) == "f\n"
