"""GTR: GetTree."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tests.conformance.catalogue import rule
from tests.conformance.target import REAPI, Code, Target, digest, fresh, key, not_applicable, refused, rx

Names = set[tuple[str, int]]


def pages(target: Target, root: rx.Digest, **fields: Any) -> list[rx.GetTreeResponse]:
    if not target.serves(f"/{REAPI}.ContentAddressableStorage/GetTree"):
        not_applicable("GetTree is not served")
    request = rx.GetTreeRequest(**{"instance_name": target.instance, "root_digest": root, **fields})
    return list(target.cas.GetTree(request))


def directories(answers: Iterable[rx.GetTreeResponse]) -> list[rx.Directory]:
    return [one for answer in answers for one in answer.directories]


def names(found: Iterable[rx.Directory]) -> Names:
    return {key(digest(one)) for one in found}


def parent(*children: rx.Digest, name: str = "") -> rx.Directory:
    """A Directory that nobody has made before, with these below it."""
    made = rx.Directory()
    made.files.add(name=name or f"file-{fresh(8).hex()}", digest=digest(b"abc"))
    for number, child in enumerate(children):
        made.directories.add(name=f"d{number:05}", digest=child)
    return made


def three_levels(target: Target) -> tuple[rx.Digest, list[rx.Directory]]:
    leaves = [parent() for _ in range(4)]
    middle = [parent(*(target.put(leaf) for leaf in pair)) for pair in (leaves[:2], leaves[2:])]
    root = parent(*(target.put(one) for one in middle))
    return target.put(root), [root, *middle, *leaves]


@rule("GTR-01")
def test_an_absent_root_is_not_found(target: Target) -> None:
    with refused(Code.NOT_FOUND):
        pages(target, digest(fresh(60)))


@rule("GTR-02")
def test_every_directory_comes_and_the_root_among_them(target: Target) -> None:
    root, made = three_levels(target)
    assert names(directories(pages(target, root))) == names(made)


@rule("GTR-03")
def test_a_missing_subtree_is_left_out_and_the_rest_comes(target: Target) -> None:
    leaf, absent = parent(), parent()
    root = parent(target.put(leaf), digest(absent))
    assert names(directories(pages(target, target.put(root)))) == names([root, leaf])


@rule("GTR-04")
def test_thirty_levels_of_two_equal_children_are_thirty_one_directories(target: Target) -> None:
    below = target.put(parent())
    made = {key(below)}
    for _ in range(30):
        below = target.put(parent(below, below))
        made.add(key(below))
    found = directories(pages(target, below))
    assert names(found) == made
    assert len(found) < 1000


@rule("GTR-05")
def test_pages_have_at_most_page_size_directories_and_tokens_that_continue(target: Target) -> None:
    root, made = three_levels(target)
    answers = pages(target, root, page_size=2)
    assert all(1 <= len(answer.directories) <= 2 for answer in answers)
    assert all(answer.next_page_token for answer in answers[:-1])
    assert not answers[-1].next_page_token
    assert names(directories(answers)) == names(made)
    for taken, answer in enumerate(answers[:-1], 1):
        rest = pages(target, root, page_size=2, page_token=answer.next_page_token)
        assert names(directories(rest)) == names(made) - names(directories(answers[:taken]))


@rule("GTR-05")
def test_a_page_size_of_0_is_the_servers_choice_and_a_negative_one_is_refused(target: Target) -> None:
    root, made = three_levels(target)
    assert names(directories(pages(target, root, page_size=0))) == names(made)
    with refused(Code.INVALID_ARGUMENT):
        pages(target, root, page_size=-1)


@rule("GTR-06")
def test_a_token_that_was_not_handed_out_for_this_tree_is_refused(target: Target) -> None:
    root, _ = three_levels(target)
    foreign = pages(target, three_levels(target)[0], page_size=2)[0].next_page_token
    for token in ("1", "x" * 1000, f"{root.hash}-{root.size_bytes}", root.hash, foreign):
        with refused(Code.INVALID_ARGUMENT):
            pages(target, root, page_size=2, page_token=token)


@rule("GTR-07")
def test_a_tree_of_a_hundred_thousand_entries_comes_in_messages_that_clients_take(target: Target) -> None:
    whole = rx.Directory()
    for number in range(2000):
        whole.files.add(name=f"{number:06}", digest=digest(b"abc"))
    below = []
    for number in range(50):
        whole.files[0].name = f"first-{number}-{fresh(4).hex()}"
        below.append(target.put(whole))
    root = target.put(parent(*below))
    # This client refuses messages above 4 MiB.
    assert len(directories(pages(target, root))) == 51


@rule("GTR-07")
def test_a_directory_that_no_client_would_take_is_refused(target: Target) -> None:
    large = rx.Directory()
    for number in range(60_000):
        large.files.add(name=f"{number:06}", digest=digest(b"abc"))
    assert large.ByteSize() > 4 << 20
    with refused(Code.RESOURCE_EXHAUSTED, Code.INVALID_ARGUMENT, Code.FAILED_PRECONDITION):
        pages(target, target.put(large))


@rule("GTR-08")
def test_a_root_that_is_no_directory_is_refused(target: Target) -> None:
    with refused(Code.INVALID_ARGUMENT, Code.FAILED_PRECONDITION):
        pages(target, target.put(b"\xff" + fresh(100)))


@rule("GTR-09")
def test_the_empty_root_is_one_empty_directory(target: Target) -> None:
    assert directories(pages(target, digest(b""))) in ([], [rx.Directory()])
