"""Every error as a person in Slack reads it."""

from __future__ import annotations

from scholar.errors import ScholarError
from scholar.report.words import count
from scholar.settings import Slack
from scholar.slack.post import Refused, Unsure
from scholar.slack.store import Spent

HELP = """\
Mention me with a question, or write to me directly, and I answer from the papers of the library, \
every sentence with the quotes that carry it. In a thread that I am in, just go on asking.

/scholar ask QUESTION  ask here
/scholar ideas TOPIC  ideas for research, with their nearest prior work
/scholar add ID …  put papers into the library, by arXiv id or DOI
/scholar papers [WORDS]  what the library holds
/scholar watch QUESTION  be told here when new papers change its answer; list, remove ID
/scholar help  this

Drop a file or a link to arXiv into a thread, and I offer to add it. Files of direct messages stay \
yours alone unless you say otherwise. In the menu of a message, Find evidence for this does that."""
UNEXPECTED = (
    "Something went wrong that should not have. Nothing is lost: ask again. Whoever runs me finds "
    "the details where I was started."
)


def in_words(error: BaseException) -> str:
    """What went wrong, and what to do."""
    if isinstance(error, ScholarError | Refused):
        return str(error)
    if isinstance(error, Unsure):
        return "Slack did not answer; ask again in a minute."
    return UNEXPECTED


def spent(error: Spent, allowed: Slack) -> str:
    """That a day's allowance is used up, whose, and what to do."""
    mine = error.whose == "user"
    cap = allowed.user_per_day if mine else allowed.channel_per_day
    caps = [
        count(n, what)
        for what, n in (("question", cap.questions), ("token", cap.tokens))
        if n is not None
    ]
    caps += [f"${cap.dollars:g}"] if cap.dollars is not None else []
    whose = "Your allowance" if mine else "The allowance of this channel"
    setting = "user_per_day" if mine else "channel_per_day"
    return (
        f"{whose} for today is spent ({', '.join(caps)} a day). Ask again after midnight UTC, or "
        f"have whoever runs me raise slack.{setting}."
    )
