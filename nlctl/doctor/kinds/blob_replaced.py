"""A blob comes back into the CAS from a place that has it right; files that are wrong are set aside first."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

from nlserver.reapi.digest import Digest, Function

from nlctl import healing, layers
from nlctl.doctor.change import Stand
from nlctl.faults import BLOB_MISSING, Fault, fix

if TYPE_CHECKING:
    from nlctl.doctor.ground import Ground


_CHUNK: Final = 1 << 20


@dataclass(frozen=True)
class Replaced:
    """`wrong` are the layers PART:STORE/LAYER whose value is removed, `files` where each keeps it ("" when unknown).

    `source` is the layer that has it; "" where none does: then it is only set aside, and clients upload it again.
    `keep` is the folder for what is set aside. `cas` are the layers that hold it afterwards.
    """

    hash: str
    size_bytes: int
    function: str
    wrong: tuple[str, ...]
    files: tuple[str, ...]
    source: str
    cas: tuple[str, ...]
    keep: str
    kind: ClassVar[str] = "blob_replaced"
    restarts: ClassVar[bool] = False
    diff: ClassVar[str] = ""

    @property
    def digest(self) -> Digest:
        """The blob."""
        return Digest(self.hash, self.size_bytes, Function[self.function])

    @property
    def does(self) -> str:
        """What it does."""
        aside = f"set the wrong bytes in {', '.join(self.wrong)} aside" if self.wrong else ""
        heal = f"copy {self.digest.written} from {self.source} into the CAS, verified" if self.source else ""
        nowhere = "" if self.source else "no place has it right: clients upload it again"
        return "; ".join(filter(None, (aside, heal, nowhere)))

    @property
    def undoes(self) -> str:
        """What taking it back does."""
        if self.wrong:
            return f"put the wrong bytes of {self.digest.written} back into {', '.join(self.wrong)}"
        return f"remove {self.digest.written} from the CAS again"

    def stand(self, ground: Ground) -> Stand:
        """Whether the bytes that were set aside still, or again, stand in their places."""
        if not self.wrong:
            # The layers themselves are asked: what stands above them may remember for a while what was there.
            seen = layers.trace(ground.sockets(), self.digest)
            held = any(one.state == "present" and f"{one.part}:{one.path}" in self.cas for one in seen)
            return Stand.AFTER if held else Stand.BEFORE
        kept = [(Path(name), self._kept(name)) for name in self.files if name]
        as_it_was = all(not aside.exists() or _same(name, aside) for name, aside in kept)
        return Stand.BEFORE if as_it_was else Stand.AFTER

    def do(self, ground: Ground) -> None:
        """Set aside, remove, copy: in this order, so that an end between them loses nothing. Raises Fault, Error."""
        sockets = ground.sockets()
        for layer, name in zip(self.wrong, self.files, strict=True):
            if name and os.path.exists(name) and not self._kept(name).exists():
                _copied(Path(name), self._kept(name))
            _removed(sockets, layer, self.digest)
        if self.source:
            self._heal(ground, sockets)

    def undo(self, ground: Ground) -> None:
        """Remove what came, and put the files back under their names."""
        sockets = ground.sockets()
        for layer in self.wrong or self.cas:
            _removed(sockets, layer, self.digest)
        for name in self.files:
            if name and self._kept(name).exists():
                _copied(self._kept(name), Path(name))

    def _heal(self, ground: Ground, sockets: dict[str, str]) -> None:
        sources = healing.Layers(sockets)
        [done] = ground.with_client(
            lambda remote: healing.from_layers(remote, sources, [self.digest], lambda _: None, dry=False),
            self.digest.function,
        )
        if done.state == "lost":
            raise Fault(
                BLOB_MISSING,
                f"{self.digest.written} is nowhere any more",
                why=f"{self.source} had it when this was planned",
                fixes=[fix("upload it", "nlctl", "cas", "put", "PATH")],
            )

    def _kept(self, name: str) -> Path:
        return Path(self.keep) / f"{self.files.index(name)}-{os.path.basename(name)}"


def _removed(sockets: dict[str, str], name: str, digest: Digest) -> None:
    part, _, path = name.partition(":")
    if part in sockets:
        layers.remove(sockets[part], path, digest)


def _same(one: Path, other: Path) -> bool:
    # Stores give all blobs one time stamp, so nothing short of the bytes tells them apart.
    with suppress(OSError), open(one, "rb") as left, open(other, "rb") as right:
        while (chunk := left.read(_CHUNK)) == right.read(_CHUNK):
            if not chunk:
                return True
    return False


def _copied(source: Path, target: Path) -> None:
    """A copy that is on the disk before it has its name."""
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # Beside the folder, not in it: what stands in a store's folder is a blob.
    fresh = target.parent.parent / f".{target.name}.{os.getpid()}"
    shutil.copy2(source, fresh)
    with open(fresh, "rb") as file:
        os.fsync(file.fileno())
    os.replace(fresh, target)


KIND = Replaced
