"""The planner: what the question is, and which steps answer it."""

from __future__ import annotations

from scholar import prompts
from scholar.backends.schema import Reply
from scholar.context import Context
from scholar.errors import UsageError
from scholar.events import Planned
from scholar.state import State, Update, blank
from scholar.values import Step

MAX_QUESTION = 4_000
"""Characters of the longest question: more is a document, which belongs into the library."""


class _Step(Reply):
    question: str
    query: str


class _Plan(Reply):
    steps: list[_Step]


async def intake(state: State, context: Context) -> Update:
    """Take the question in: check it, give the run its id and its starting time.

    Raises UsageError where there is no question or it is too long to be one, or `k` is below 1.
    """
    # Bytes of a command line that are no text arrive as half characters, which nothing can encode.
    asked = state.get("question", "").encode("utf-8", "replace").decode("utf-8")
    question = " ".join(asked.split())
    if not any(map(str.isalnum, question)):
        state_of_it = "has no words" if question else "is empty"
        raise UsageError(
            f'The question {state_of_it}; write it in quotes, as in scholar ask "How …?".'
        )
    if len(question) > MAX_QUESTION:
        raise UsageError(
            f"The question has {len(question):,} characters and may have {MAX_QUESTION:,}; "
            "put long text into a file and add it with --with."
        )
    k = state.get("k")
    if k is not None and k < 1:
        raise UsageError(f"k is the passages to read per step and may not be {k}; give 1 or more.")
    answered = state.get("answer")
    run_id = state.get("run_id")
    if not run_id or (answered and answered.run_id == run_id):
        run_id = context.services.new_id()
    started = context.services.clock()
    return {**blank(), "question": question, "run_id": run_id, "started": started}


async def plan(state: State, context: Context) -> Update:
    """Split the question into steps to search for.

    Without a model, or in a preset that does not plan, the question is the only step. Sent back by
    the jury for more evidence, the jurors' own queries are the new steps: no further call, and no
    step where all of them were searched for already.
    """
    if state.get("decision") == "search_more":
        steps = _steps_of_the_jury(state)
    else:
        steps = await _first_steps(state, context)
    context.emit(Planned(tuple(steps)))
    return {"steps": [*state.get("steps", []), *steps]}


async def _first_steps(state: State, context: Context) -> list[Step]:
    question = state["question"]
    if not (context.preset.plan and context.has_models):
        return [Step("s1", question, question)]
    most = context.preset.steps
    reply = await context.ask(prompts.render("planner", question=question, most=most), _Plan)
    wanted = [step for step in reply.steps if step.question.strip()][:most]
    return [
        Step(f"s{n}", step.question.strip(), step.query.strip() or step.question.strip())
        for n, step in enumerate(wanted, start=1)
    ] or [Step("s1", question, question)]


def _steps_of_the_jury(state: State) -> list[Step]:
    known = {query.lower() for query in state.get("searched", [])}
    queries: list[str] = []
    for verdict in state.get("verdicts", []):
        query = verdict.query.strip()
        if verdict.action == "search_more" and query and query.lower() not in known:
            known.add(query.lower())
            queries.append(query)
    first = len(state.get("steps", [])) + 1
    return [Step(f"s{n}", query, query) for n, query in enumerate(queries, start=first)]
