"""An action cache forgets a result, so that the action runs again; the result is kept in the journal."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from nlserver.errors import Code, Error
from nlserver.reapi.digest import Digest, Function
from nlserver.reapi.results import parsed

from nlctl import layers
from nlctl.doctor.change import Stand

if TYPE_CHECKING:
    from nlctl.doctor.ground import Ground


@dataclass(frozen=True)
class Forgotten:
    """The result of an action in a layer of a part; `value` is it, in base 64."""

    hash: str
    size_bytes: int
    function: str
    part: str
    layer: str
    value: str
    kind: ClassVar[str] = "result_forgotten"
    restarts: ClassVar[bool] = False
    diff: ClassVar[str] = ""

    @property
    def action(self) -> Digest:
        """The action whose result it is."""
        return Digest(self.hash, self.size_bytes, Function[self.function])

    @property
    def does(self) -> str:
        """What it does."""
        return f"remove the result of {self.action.written} from {self.part}:{self.layer}, the action then runs again"

    @property
    def undoes(self) -> str:
        """What taking it back does."""
        return f"put the result of {self.action.written} back"

    def stand(self, ground: Ground) -> Stand:
        """AFTER only while there is none: a result that was made since is better than the one that was kept."""
        socket = ground.socket(self.part)
        try:
            for _ in layers.read(socket, self.layer, self.action):
                pass
        except Error as error:
            if error.code is not Code.NOT_FOUND:
                raise
            return Stand.AFTER
        return Stand.BEFORE

    def do(self, ground: Ground) -> None:
        """Remove it."""
        layers.remove(ground.socket(self.part), self.layer, self.action)

    def undo(self, ground: Ground) -> None:
        """Write it as a client does."""
        result = parsed(base64.b64decode(self.value))
        ground.with_client(lambda remote: remote.update_action_result(self.action, result), self.action.function)


KIND = Forgotten
