import pytest
from hypothesis import given
from hypothesis import strategies as st
from nlserver.errors import Code, Error
from nlserver.proto import remote_execution_pb2 as re_pb
from nlserver.reapi.digest import EMPTY, Digest, Function, of
from nlserver.reapi.tree import (
    Blob,
    File,
    Subdirectory,
    Symlink,
    blob_of,
    directory,
    directory_of,
    message_of,
    tree_blob,
    tree_of,
    walk,
)

ABC = of(b"abc")
names = st.text(st.characters(exclude_characters="/\0", exclude_categories=("Cs",)), min_size=1, max_size=20).filter(
    lambda name: name not in (".", "..")
)


def closure(*made: re_pb.Directory) -> dict[Digest, bytes]:
    return {blob.digest: blob.data for blob in map(blob_of, made)}


def refused(data: bytes) -> str:
    with pytest.raises(Error) as raised:
        directory_of(data)
    assert raised.value.code is Code.INVALID_ARGUMENT
    return raised.value.message


@given(st.sets(names, max_size=8), st.randoms(use_true_random=False))
def test_the_same_entries_in_any_order_make_the_same_directory(found, random):
    entries = [
        random.choice([File(name, ABC), Subdirectory(name, EMPTY[Function.SHA256]), Symlink(name, "t")])
        for name in sorted(found)
    ]
    shuffled = entries[:]
    random.shuffle(shuffled)
    assert blob_of(directory(entries)) == blob_of(directory(shuffled))
    assert directory_of(blob_of(directory(entries)).data) == directory(entries)


def test_names_are_sorted_by_utf8_bytes():
    made = directory([File("\U0001f600", ABC), File("\uff5e", ABC), File("Z", ABC), File("a", ABC)])
    assert [node.name for node in made.files] == ["Z", "a", "\uff5e", "\U0001f600"]


def test_a_directory_in_any_order_is_taken():
    data = re_pb.Directory(files=[re_pb.FileNode(name=n, digest=message_of(ABC)) for n in "ba"]).SerializeToString()
    assert [node.name for node in directory_of(data).files] == ["b", "a"]


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/etc", "a\0b", "x" * 256])
def test_names_that_are_no_segment_are_refused(name):
    for made in (
        re_pb.Directory(files=[re_pb.FileNode(name=name, digest=message_of(ABC))]),
        re_pb.Directory(directories=[re_pb.DirectoryNode(name=name, digest=message_of(ABC))]),
        re_pb.Directory(symlinks=[re_pb.SymlinkNode(name=name, target="t")]),
    ):
        refused(made.SerializeToString())


def test_a_name_may_occur_once_over_all_kinds():
    made = re_pb.Directory(
        directories=[re_pb.DirectoryNode(name="a", digest=message_of(ABC))],
        symlinks=[re_pb.SymlinkNode(name="a", target="/etc")],
    )
    assert "'a' occurs twice" in refused(made.SerializeToString())
    with pytest.raises(Error, match="occurs twice"):
        directory([File("a", ABC), File("a", ABC)])


@pytest.mark.parametrize("target", ["", "a\0b", "x" * 5000])
def test_impossible_targets_are_refused(target):
    refused(re_pb.Directory(symlinks=[re_pb.SymlinkNode(name="a", target=target)]).SerializeToString())


def test_a_target_is_kept_as_it_stands():
    data = blob_of(directory([Symlink("a", "foo/../bar"), Symlink("b", "/abs")])).data
    assert [link.target for link in directory_of(data).symlinks] == ["foo/../bar", "/abs"]


@pytest.mark.parametrize(
    "digest", [re_pb.Digest(), re_pb.Digest(hash="A" * 64, size_bytes=1), re_pb.Digest(hash=ABC.hash, size_bytes=-1)]
)
def test_malformed_digests_are_refused(digest):
    refused(re_pb.Directory(files=[re_pb.FileNode(name="a", digest=digest)]).SerializeToString())
    refused(re_pb.Directory(directories=[re_pb.DirectoryNode(name="a", digest=digest)]).SerializeToString())


def test_names_that_are_not_utf8_are_refused():
    with pytest.raises(Error, match=r"\\xff"):
        directory([File("a\udcff", ABC)])


@given(st.binary(max_size=80))
def test_any_bytes_give_a_directory_or_a_tree_or_an_error(data):
    for parse in (directory_of, tree_of):
        try:
            parse(data)
        except Error as error:
            code = error.code
        else:
            code = Code.INVALID_ARGUMENT
        assert code is Code.INVALID_ARGUMENT


def family() -> tuple[re_pb.Directory, re_pb.Directory, re_pb.Directory]:
    """A root with two directories of which one holds the other."""
    leaf = directory([File("f", ABC, executable=True)])
    middle = directory([Subdirectory("leaf", blob_of(leaf).digest)])
    root = directory(
        [Subdirectory("a", blob_of(leaf).digest), Subdirectory("b", blob_of(middle).digest), Symlink("l", "a/f")]
    )
    return root, middle, leaf


def test_a_tree_holds_each_directory_once_and_parents_first():
    root, middle, leaf = family()
    made = re_pb.Tree.FromString(tree_blob(blob_of(root).digest, closure(root, middle, leaf)).data)
    assert made.root == root
    assert list(made.children) == [middle, leaf]


def test_a_tree_parses_back_and_walks():
    root, middle, leaf = family()
    tree = tree_of(tree_blob(blob_of(root).digest, closure(root, middle, leaf)).data)
    assert tree.root == blob_of(root).digest
    assert list(walk(tree.root, tree.lookup)) == [("", root), ("a", leaf), ("b", middle), ("b/leaf", leaf)]
    assert list(tree.files()) == [ABC]


def test_a_tree_with_repeated_and_unused_children_is_taken():
    root, middle, leaf = family()
    unused = directory([File("never", of(b"n"))])
    tree = tree_of(re_pb.Tree(root=root, children=[root, leaf, leaf, unused, middle]).SerializeToString())
    assert [path for path, _ in walk(tree.root, tree.lookup)] == ["", "a", "b", "b/leaf"]


def test_a_tree_that_lacks_a_child_is_refused_when_walked():
    root, _, leaf = family()
    tree = tree_of(re_pb.Tree(root=root, children=[leaf]).SerializeToString())
    with pytest.raises(Error, match="lacks the directory"):
        list(walk(tree.root, tree.lookup))


def test_the_tree_of_an_empty_directory_is_two_bytes():
    empty = blob_of(re_pb.Directory())
    assert empty == Blob(EMPTY[Function.SHA256], b"")
    assert tree_blob(empty.digest, {}).data == b"\x0a\x00"
    tree = tree_of(b"\x0a\x00")
    assert list(walk(tree.root, tree.lookup)) == [("", re_pb.Directory())]


def test_blake3_trees_name_their_directories_by_blake3():
    leaf = directory([File("f", of(b"abc", Function.BLAKE3))])
    below = blob_of(leaf, Function.BLAKE3)
    root = blob_of(directory([Subdirectory("d", below.digest)]), Function.BLAKE3)
    tree = tree_of(tree_blob(root.digest, {root.digest: root.data, below.digest: below.data}).data, Function.BLAKE3)
    assert [path for path, _ in walk(tree.root, tree.lookup)] == ["", "d"]


def test_a_tree_that_expands_without_end_is_refused_early():
    level = directory([File("f", ABC)])
    known = {}
    for _ in range(40):
        blob = blob_of(level)
        known[blob.digest] = level
        level = directory([Subdirectory("a", blob.digest), Subdirectory("b", blob.digest)])
    root = blob_of(level).digest
    known[root] = level
    with pytest.raises(Error, match="more than 10000"):
        list(walk(root, known.__getitem__, most_nodes=10_000))


def test_a_path_that_is_too_long_is_refused():
    level = directory([File("f", ABC)])
    known = {}
    for _ in range(30):
        blob = blob_of(level)
        known[blob.digest] = level
        level = directory([Subdirectory("x" * 200, blob.digest)])
    root = blob_of(level).digest
    known[root] = level
    with pytest.raises(Error, match="longer than 4096"):
        list(walk(root, known.__getitem__))
