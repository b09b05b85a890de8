"""Trees are counted, drawn and compared by what their Directories say."""

from __future__ import annotations

import pytest
from nlserver.reapi.digest import of
from nlserver.reapi.tree import Entry, File, Subdirectory, Symlink, blob_of, directory

from nlctl.exits import Exit
from nlctl.faults import Fault
from nlctl.trees import Loaded, bar, changes, leaves_first, nodes, rails, totals

A, B, C = of(b"a"), of(b"bb"), of(b"ccc")


def _tree(*entries: Entry, **below: Loaded) -> Loaded:
    """A directory of these entries and subdirectories; `gone` of a subdirectory leaves its message out."""
    own = directory([*entries, *(Subdirectory(name, one.root) for name, one in below.items())])
    held = {digest: found for one in below.values() for digest, found in one.directories.items()}
    absent = frozenset(digest for one in below.values() for digest in one.absent)
    return Loaded(blob_of(own).digest, {**held, blob_of(own).digest: own}, absent)


def _gone(*entries: Entry) -> Loaded:
    root = _tree(*entries).root
    return Loaded(root, {}, frozenset([root]))


SRC = _tree(File("gen.c", B), File("main.c", C))
WHOLE = _tree(File("BUILD", A), File("run", A, executable=True), Symlink("l", "BUILD"), include=_tree(), src=SRC)


def test_a_tree_is_counted_with_all_below() -> None:
    total = totals(WHOLE)[WHOLE.root]
    assert (total.files, total.directories, total.symlinks, total.size_bytes) == (4, 2, 1, 7)
    assert not total.broken
    assert list(WHOLE.files()) == [B, C, A]


def test_a_tree_is_drawn_directories_first() -> None:
    drawn = [f"{rails(node.ends)}{node.name}" for node in nodes(WHOLE, totals(WHOLE))]
    assert drawn == ["├─ include", "├─ src", "│  ├─ gen.c", "│  └─ main.c", "├─ BUILD", "├─ run", "└─ l"]
    assert [node.path for node in nodes(WHOLE, totals(WHOLE), depth=1)] == ["include", "src", "BUILD", "run", "l"]


def test_what_is_missing_is_drawn_at_any_depth_with_what_leads_there() -> None:
    deep = _tree(File("x", A), a=_tree(File("y", A), b=_tree(File("z", B)), c=_gone(File("w", C))))
    shown = [(node.path, node.missing) for node in nodes(deep, totals(deep, {B}), {B}, depth=0)]
    assert shown == [("a", False), ("a/b", False), ("a/b/z", True), ("a/c", True)]
    [gone] = [node for node in nodes(deep, totals(deep)) if node.missing]
    assert (gone.path, gone.size_bytes) == ("a/c", None)


def test_a_tree_of_any_size_in_a_few_directories_is_refused_unwalked() -> None:
    level = _tree(File("x", A))
    for _ in range(40):
        level = _tree(a=level, b=level)
    with pytest.raises(Fault, match="more than 1000000 files") as caught:
        totals(level)
    assert caught.value.exit is Exit.INVALID


def test_directories_come_before_those_that_name_them() -> None:
    order = leaves_first(WHOLE)
    assert order[-1] == WHOLE.root
    assert set(order) == set(WHOLE.directories)


def test_two_trees_differ_where_their_entries_do() -> None:
    other = _tree(
        File("BUILD", B), File("run", A), File("src2", A), Symlink("l", "run"), src=_tree(File("gen.c", B)), include=SRC
    )
    found = {change.path: change.what for change in changes(WHOLE, other)}
    assert found == {
        "BUILD": "content",
        "run": "mode",
        "l": "target",
        "src2": "added",
        "src/main.c": "removed",
        "include/gen.c": "added",
        "include/main.c": "added",
    }
    assert not list(changes(WHOLE, WHOLE))
    assert [change.what for change in changes(_tree(File("x", A)), _tree(x=SRC))] == ["kind"]


def test_a_share_is_a_bar_in_eighths() -> None:
    assert [bar(share, 4) for share in (0.0, 0.5, 1.0, 0.03125, 0.65)] == ["", "██", "████", "▏", "██▋"]
