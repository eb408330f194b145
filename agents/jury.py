"""The jury: independent jurors with different briefs, and what follows from their votes."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

from scholar import prompts
from scholar.agents.evidence import show
from scholar.backends.schema import Reply
from scholar.context import Context
from scholar.errors import BudgetSpent, ModelError
from scholar.events import Voted
from scholar.state import Failure, State, Update, draft_of
from scholar.values import Action, Outcome, Verdict

_CAREFUL: tuple[Action, ...] = ("search_more", "revise", "abstain", "accept")
"""In a tie, the first of these wins."""


class _Vote(Reply):
    reasons: list[str]
    action: Action
    query: str


async def deliberate(state: State, context: Context) -> Update:
    """Let all jurors judge the draft at once, then decide.

    A juror that cannot be read abstains: it is shown, and counted neither for nor against.
    """
    jurors = context.preset.jurors
    results = await asyncio.gather(*(_vote(juror, state, context) for juror in jurors))
    verdicts = [verdict for verdict, _ in results]
    spent = [error for _, error in results if isinstance(error, BudgetSpent)]
    if spent:
        failure = Failure(Outcome.BUDGET_SPENT, str(spent[0]))
        return {"verdicts": verdicts, "decision": "accept", "failure": failure}
    decision = decide(
        verdicts,
        revise=state["revision"] < context.preset.revisions,
        search=state["search_rounds"] < context.preset.searches,
    )
    update: Update = {"verdicts": verdicts, "decision": decision}
    if decision == "search_more":
        update["search_rounds"] = state["search_rounds"] + 1
    if all(verdict.failed for verdict in verdicts):
        reason = verdicts[0].reasons[0]
        update["notes"] = [f"No juror could be read, so only the quotes are checked: {reason}"]
    return update


def decide(verdicts: Sequence[Verdict], *, revise: bool, search: bool) -> Action:
    """What follows from the votes, given whether a revision and a search are still allowed.

    A sentence that its quote does not carry is a fault by itself, so a `revise` of the support
    juror needs no second vote. All else goes by majority of the jurors that could be read, a tie
    to the more careful side. What is no longer allowed is published as it stands, with the dissent.
    """
    readable = [verdict for verdict in verdicts if not verdict.failed]
    votes = Counter(verdict.action for verdict in readable)
    if not votes:
        return "accept"
    faulty = any(v.juror == "support" and v.action == "revise" for v in readable)
    most = max(votes.values())
    action = next(action for action in _CAREFUL if votes[action] == most)
    wanted = any(v.action == "search_more" and v.query.strip() for v in readable)
    if action == "search_more" and search and wanted:
        return "search_more"
    if (action == "revise" or faulty) and revise:
        return "revise"
    return "abstain" if action == "abstain" else "accept"


async def _vote(
    juror: str, state: State, context: Context
) -> tuple[Verdict, ModelError | BudgetSpent | None]:
    error: ModelError | BudgetSpent | None = None
    try:
        verdict = await _ask(juror, state, context)
    except (ModelError, BudgetSpent) as failed:
        error = failed
        verdict = Verdict(juror, "abstain", (str(failed),), failed=True)
    context.emit(Voted(verdict))
    return verdict, error


async def _ask(juror: str, state: State, context: Context) -> Verdict:
    draft = draft_of(state)
    prompt = prompts.render(
        "juror",
        juror=juror,
        question=state["question"],
        sentences=draft.sentences,
        conflicts=draft.conflicts,
        missing=draft.missing,
        searched=state.get("searched", []),
        quotes=await show(context, state["evidence"]),
    )
    vote = await context.ask(prompt, _Vote)
    reasons = tuple(reason.strip() for reason in vote.reasons if reason.strip())
    return Verdict(juror, vote.action, reasons, vote.query.strip())
