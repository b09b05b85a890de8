"""`--fix` from the plan to the proof: what would change, the question, the change, a new examination, the way back."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from nlctl.doctor.change import Change
from nlctl.doctor.ground import Ground
from nlctl.doctor.journal import Entry, Journal
from nlctl.doctor.mending import Ailment, Left, Plan, carry_out, planned, unfinished
from nlctl.doctor.report import fix_words, hanging
from nlctl.faults import fix
from nlctl.session import Session

_MOST_ROUNDS: Final = 5
"""What one repair uncovers, such as what was skipped while a part was down, is mended in the next round."""
_AND_MORE: Final = f"more of it came up in each of {_MOST_ROUNDS} rounds"


@dataclass
class Done:
    """What became of it. `id` is None when nothing was changed, `continues` the fix that was interrupted before."""

    dry_run: bool
    id: str | None = None
    changes: list[dict[str, Any]] = field(default_factory=list)
    mends: list[Ailment] = field(default_factory=list)
    sick: tuple[Ailment, ...] = ()
    left: tuple[Left, ...] = ()
    continues: str | None = None

    def document(self) -> dict[str, Any]:
        """As JSON shows it."""
        return {
            "id": self.id,
            "dry_run": self.dry_run,
            "changes": self.changes,
            "mends": [
                {
                    "check": one.check,
                    "what": one.what,
                    "repairs": list(dict.fromkeys(remedy.repair for remedy in one.remedies)),
                    "is_well": None if self.dry_run else self.is_well(one),
                }
                for one in self.mends
            ],
            "left": [
                {
                    "check": one.ailment.check,
                    "what": one.ailment.what,
                    "why": one.why,
                    "fix": [{"text": remedy.text, "command": list(remedy.command)} for remedy in one.fixes],
                }
                for one in self.left
            ],
            "continues": self.continues,
        }

    def is_well(self, one: Ailment) -> bool:
        """Whether the check that found it, run again, finds it no more."""
        return not any(other.check == one.check and set(other.remedies) & set(one.remedies) for other in self.sick)


def fixed(
    session: Session, name: str, ailments: Sequence[Ailment], again: Callable[[], Sequence[Ailment]], *, dry_run: bool
) -> Done:
    """Mend what can be mended; `again` examines anew. Raises Fault, UNCONFIRMED when the user does not agree."""
    journal = Journal(session.state)
    id_ = journal.fresh()
    ground = Ground(session, name, journal.folder(id_))
    done = Done(dry_run, sick=tuple(ailments))
    entry = Entry(id_, ground.ledger.name if ground.is_here else "")
    if (before := unfinished(ground, journal)) is not None:
        session.ui.warn(f"fix {before.id} was interrupted, and goes on here")
        ground = Ground(session, name, journal.folder(before.id))
        entry, done.continues = before, before.id
    for _ in range(_MOST_ROUNDS):
        plan = planned(ground, done.sick)
        done.left = plan.left
        done.changes += [_shown(one) for one in plan.changes]
        if not plan.changes:
            break
        done.mends += [one for one in plan.mends if one not in done.mends]
        _show(session, plan)
        if dry_run:
            break
        count = len(plan.changes)
        session.confirm(f"This makes {count} change{'s' if count > 1 else ''}", "fix")
        entry = carry_out(ground, journal, entry, plan.changes)
        done.id = entry.id
        session.ui.say("examining it again")
        done.sick = tuple(again())
        ground = Ground(session, name, journal.folder(entry.id))
    else:
        done.left = tuple(Left(one, _AND_MORE, (fix("go on", "nlctl", "doctor", "--fix"),)) for one in done.sick)
    if done.continues and not dry_run:
        journal.done(entry)
        done.id = entry.id
    if done.id is not None and (old := journal.prune(time.time())):
        session.ui.say(f"forgot fixes of more than 30 days ago, and what they had set aside: {', '.join(old)}")
    _tell(session, done)
    return done


def _shown(change: Change) -> dict[str, Any]:
    return {"kind": change.kind, "does": change.does, "undoes": change.undoes or None, "diff": change.diff or None}


def _show(session: Session, plan: Plan) -> None:
    ui = session.ui
    if ui.structured:
        return
    ui.say(f"{len(plan.changes)} change{'s' if len(plan.changes) > 1 else ''}:")
    for one in plan.mends:
        for line in hanging("  for   ", f"{one.check}: {one.what}"):
            ui.say(line)
    for change in plan.changes:
        for line in hanging("  ~ ", change.does):
            ui.say(line)
        ui.difference(change.diff)


def _tell(session: Session, done: Done) -> None:
    ui = session.ui
    text: list[str] = []
    for one in done.mends if not done.dry_run else ():
        well = done.is_well(one)
        text += hanging(f"{ui.mark(well)} {one.check}  ", f"{'mended' if well else 'not mended'}: {one.what}")
    for left in done.left:
        text += ["", *hanging(f"{ui.mark(None)} {left.ailment.check}  ", f"not repaired: {left.ailment.what}")]
        text += hanging("  why   ", left.why)
        for number, remedy in enumerate(left.fixes):
            text.append(("  fix   " if number == 0 else "        ") + fix_words(remedy))
    if not done.mends:
        text.append("nothing is there to repair" if not done.left else "nothing was repaired")
    if done.dry_run and done.mends:
        text.append("nothing was changed: this was a dry run")
    if done.id is not None:
        text += ["", f"undo: nlctl doctor undo {done.id}"]
    ui.item("nlctl.doctor.fix/v1", done.document(), "\n".join(text), name=done.id or "")
