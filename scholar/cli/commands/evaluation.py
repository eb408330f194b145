"""The commands that measure."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from scholar.cli.options import (
    STRATEGIES,
    Json,
    Judge,
    Limit,
    Model,
    Out,
    Parallel,
    Preset,
    Seed,
)

evaluation = typer.Typer(help="Measure how well it does on judged sets.")


@evaluation.command("retrieve")
def eval_retrieve(
    folder: Annotated[
        str,
        typer.Argument(metavar="DIR", help="With corpus.jsonl, queries.jsonl and qrels/, as BEIR."),
    ],
    split: Annotated[str, typer.Option(help="Which of the qrels; test, or the only one.")] = "",
    strategy: Annotated[
        str, typer.Option(help=f"How passages are ranked: {STRATEGIES}; or all.")
    ] = "hybrid",
    json: Json = False,
) -> None:
    """Index a judged set in a throwaway library and measure how well its documents are found."""
    from pathlib import Path

    from scholar.cli import common, evaluating

    common.run(evaluating.retrieve(Path(folder).expanduser(), split, strategy, json))


@evaluation.command("answer")
def eval_answer(
    folder: Annotated[
        str, typer.Argument(metavar="DIR", help="With corpus.jsonl, and answers in queries.jsonl.")
    ],
    preset: Preset = None,
    model: Model = None,
    limit: Limit = None,
    seed: Seed = 0,
    parallel: Parallel = 4,
    judge: Judge = "",
    into: Out = None,
    json: Json = False,
) -> None:
    """Ask questions with known answers: are they right, and do their citations carry them?"""
    _examine("answer", folder, (preset, limit, seed, parallel, judge), model, into, json)


@evaluation.command("conflict")
def eval_conflict(
    folder: Annotated[
        str, typer.Argument(metavar="DIR", help="With items.jsonl, as WikiContradict.")
    ],
    preset: Preset = None,
    model: Model = None,
    limit: Limit = None,
    seed: Seed = 0,
    parallel: Parallel = 4,
    judge: Judge = "",
    into: Out = None,
    json: Json = False,
) -> None:
    """Ask questions on which two documents disagree: are both answers reported?"""
    _examine("conflict", folder, (preset, limit, seed, parallel, judge), model, into, json)


@evaluation.command("abstain")
def eval_abstain(
    folder: Annotated[
        str,
        typer.Argument(metavar="DIR", help="As for answer, with qrels; or with claims_*.jsonl."),
    ],
    preset: Preset = None,
    model: Model = None,
    limit: Limit = None,
    seed: Seed = 0,
    parallel: Parallel = 4,
    into: Out = None,
    json: Json = False,
) -> None:
    """Ask questions that the documents answer, and that they do not: is each told apart?"""
    _examine("abstain", folder, (preset, limit, seed, parallel, ""), model, into, json)


@evaluation.command("ideas")
def eval_ideas(
    folder: Annotated[
        str,
        typer.Argument(
            metavar="DIR",
            help="With backgrounds.jsonl, rated.jsonl, or what scholar ideas --json printed.",
        ),
    ],
    comparisons: Annotated[
        int | None,
        typer.Option(min=2, help="Comparisons of rated ideas for each topic; else n log n."),
    ] = None,
    model: Model = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Use so many backgrounds and topics; else all.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Resamples for the intervals.")] = 0,
    into: Out = None,
    json: Json = False,
) -> None:
    """Are the right papers found for ideas, are ideas diverse, are they ranked as people do?"""
    from scholar.cli import common, flags, weighing

    chosen = flags.settings(model=model)
    common.run(weighing.weigh(folder, chosen, into, limit, comparisons, seed, json))


def _examine(
    kind: Literal["answer", "conflict", "abstain"],
    folder: str,
    plan: tuple[str | None, int | None, int, int, str],
    model: str | None,
    into: str | None,
    json: bool,
) -> None:
    from scholar.cli import common, examining, flags
    from scholar.evaluation.asking import Plan

    preset, limit, seed, parallel, judge = plan
    chosen = flags.settings(preset=preset, model=model)
    asked = Plan(preset or "", limit, seed, parallel, judge)
    common.run(examining.examine(kind, folder, asked, chosen, into, json))
