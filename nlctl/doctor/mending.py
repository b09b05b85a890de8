"""Mending what was found: what to change, the changes made under a journal, and the way back.

Planning asks each repair, and decides nothing else than what is one change and what comes first. Nothing is changed
before the journal of it is on the disk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from nlserver.errors import Error

from nlctl.doctor.change import Change, Stand
from nlctl.doctor.finding import Remedy
from nlctl.doctor.ground import Ground
from nlctl.doctor.journal import Entry, Journal
from nlctl.doctor.kinds.file import Rewritten
from nlctl.doctor.kinds.parts_remade import Remade
from nlctl.doctor.kinds.parts_restarted import Restarted
from nlctl.doctor.kinds.parts_started import Started
from nlctl.doctor.repair import NoRepair
from nlctl.doctor.repairs import every
from nlctl.faults import CHANGED_SINCE, NOT_UNDONE, Fault, Fix, fix, of_error


@dataclass(frozen=True)
class Ailment:
    """Something that is wrong: the check or verdict that says so, in which words, and what may mend it.

    `by_hand` is why a person must, where no remedy does.
    """

    check: str
    what: str
    remedies: tuple[Remedy, ...] = ()
    fixes: tuple[Fix, ...] = ()
    by_hand: str = "no repair of it is safe enough to be made for you"


@dataclass(frozen=True)
class Left:
    """What no repair mends: why, and what a person can do."""

    ailment: Ailment
    why: str
    fixes: tuple[Fix, ...]


@dataclass(frozen=True)
class Plan:
    """Changes in the order in which they are made, and what they mend."""

    changes: tuple[Change, ...]
    mends: tuple[Ailment, ...]
    left: tuple[Left, ...]


def planned(ground: Ground, ailments: Sequence[Ailment]) -> Plan:
    """What to change for these. What an earlier one of them mends as well is taken for mended. Changes nothing."""
    made: list[Change] = []
    known: dict[Remedy, NoRepair | None] = {}
    mends: list[Ailment] = []
    left: list[Left] = []
    for one in ailments:
        refusals: list[NoRepair] = []
        for remedy in one.remedies:
            if remedy not in known:
                found, known[remedy] = _changes(ground, remedy)
                made += found
            if (refusal := known[remedy]) is not None:
                refusals.append(refusal)
        if len(refusals) < len(one.remedies):
            mends.append(one)
        else:
            left.append(_left(one, refusals))
    written = [Path(one.path) for one in made if isinstance(one, Rewritten)]
    parts = [path.stem for path in written if path.parent == ground.ledger.configs] if ground.is_here else []
    return Plan(ordered(made, parts), tuple(mends), tuple(left))


def _changes(ground: Ground, remedy: Remedy) -> tuple[Sequence[Change], NoRepair | None]:
    """The changes that this remedy is, or why it is none: also where a fact cannot be had."""
    repair = every()[remedy.repair]
    try:
        found = repair.plan(repair.look(ground, remedy.about))
    except NoRepair as refusal:
        return (), refusal
    except Error as error:
        fault = of_error(error)
        return (), NoRepair(fault.message, *fault.fixes)
    except Fault as fault:
        return (), NoRepair(fault.message, *fault.fixes)
    for change in found:
        if isinstance(change, Rewritten):
            ground.will_say(change.path, change.texts[-1])
    return found, None


def _left(one: Ailment, refusals: Sequence[NoRepair]) -> Left:
    why = "; ".join(filter(None, [*map(str, refusals[:1]), one.by_hand]))
    fixes = tuple(dict.fromkeys([*(remedy for refusal in refusals for remedy in refusal.fixes), *one.fixes]))
    return Left(one, why, fixes)


def ordered(changes: Iterable[Change], changed: Sequence[str]) -> tuple[Change, ...]:
    """Each once, files that several write as one, parts last; `changed` are parts whose configs are written. Pure."""
    unique = joined(dict.fromkeys(changes))
    rest = [one for one in unique if not one.restarts]
    remade = [one for one in unique if isinstance(one, Remade)]
    if starts := [one for one in unique if isinstance(one, Started)]:
        # It brings all parts to what their files say.
        return (*rest, *remade, starts[0])
    again = [part for one in unique if isinstance(one, Restarted) for part in one.parts]
    fresh = {one.part for one in remade}
    parts = tuple(part for part in dict.fromkeys([*changed, *again]) if part not in fresh)
    return (*rest, *remade, *([Restarted(parts)] if parts else []))


def joined(changes: Iterable[Change]) -> tuple[Change, ...]:
    """The same with all that is written into one file as one change, which knows each text between. Pure."""
    made: dict[object, Change] = {}
    for one in changes:
        before = made.get(one.path) if isinstance(one, Rewritten) else None
        if isinstance(one, Rewritten) and isinstance(before, Rewritten):
            made[one.path] = replace(before, texts=tuple(dict.fromkeys([*before.texts, *one.texts])))
        else:
            made[one.path if isinstance(one, Rewritten) else one] = one
    return tuple(made.values())


def carry_out(ground: Ground, journal: Journal, entry: Entry, changes: Sequence[Change]) -> Entry:
    """Make these changes after those which the journal has; answers the journal of all. Raises Fault.

    What was made until a failure stays, and the way back is named.
    """
    entry = replace(entry, changes=joined([*entry.changes, *changes]), is_done=False)
    journal.keep(entry)
    with ExitStack() as lock:
        if ground.is_here:
            lock.enter_context(ground.ledger.locked())
        for one in changes:
            ground.ui.waiting(one.does)
            try:
                one.do(ground)
            except Error as error:
                raise _named(of_error(error), entry) from error
            except Fault as fault:
                raise _named(fault, entry) from fault
    return journal.done(entry)


def _named(fault: Fault, entry: Entry) -> Fault:
    back = fix("take back what was changed until here", "nlctl", "doctor", "undo", entry.id)
    return Fault(fault.kind, fault.message, why=fault.why, fixes=[back, *fault.fixes], said=fault.said, log=fault.log)


def unfinished(ground: Ground, journal: Journal) -> Entry | None:
    """The latest fix of this cluster that did not come to its end, unless somebody changed since what it wrote."""
    cluster = ground.ledger.name if ground.is_here else ""
    for id_ in journal.interrupted(cluster):
        entry = journal.load(id_)
        if all(one.stand(ground) is not Stand.OTHER for one in entry.changes if isinstance(one, Rewritten)):
            return entry
    return None


def to_undo(ground: Ground, entry: Entry) -> list[Change]:
    """The changes to take back, the latest first. Raises Fault CHANGED_SINCE, and then none is."""
    stands = [(one, one.stand(ground)) for one in reversed(entry.changes) if one.undoes]
    if foreign := [one for one, stand in stands if stand is Stand.OTHER]:
        raise Fault(
            CHANGED_SINCE,
            f"somebody changed what fix {entry.id} wrote",
            why=f"cannot {foreign[0].undoes}: undoing would lose that change; nothing was undone",
            fixes=[fix("see what the fix wrote", "nlctl", "doctor", "undo", entry.id, "--dry-run", "-o", "json")],
        )
    return [one for one, stand in stands if stand is Stand.AFTER]


def undo(ground: Ground, entry: Entry, changes: Sequence[Change], told: Callable[[Change], None]) -> list[str]:
    """Take these back, and let running parts use what their files say then; answers which. Raises Fault, Error."""
    restarted: list[str] = []
    with ExitStack() as lock:
        if ground.is_here:
            lock.enter_context(ground.ledger.locked())
        for one in changes:
            one.undo(ground)
            if one.stand(ground) is not Stand.BEFORE:
                raise Fault(
                    NOT_UNDONE,
                    f"not all of fix {entry.id} could be taken back",
                    why=f"still to do: {one.undoes}",
                    fixes=[fix("try again", "nlctl", "doctor", "undo", entry.id)],
                )
            told(one)
        written = [Path(one.path).stem for one in entry.changes if isinstance(one, Rewritten)]
        if ground.is_here and written:
            from nlctl.doctor.anew import as_files_say

            restarted = as_files_say(ground, written)
    return restarted
