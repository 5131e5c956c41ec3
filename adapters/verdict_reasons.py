"""The verdict on a sweep's winner in sentences: each a figure and what it means."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from adapters.verdict_evidence import (
    DSR_REAL,
    LIKELY_LUCK,
    LIKELY_REAL,
    MOST_LOSSES,
    Evidence,
    expect_luck,
)

if TYPE_CHECKING:
    from adapters.sweep_trials import TrialSurvey
    from rules.sweep_spec import SweepSpec

FEW_TRADES = 30
_PERCENT = frozenset(("total_return", "cagr", "volatility", "max_drawdown", "win_rate", "exposure"))
_NAMES = {"sharpe": "Sharpe", "sortino": "Sortino", "calmar": "Calmar", "cagr": "CAGR"}
# Sign, code, text.
Reason = tuple[bool, str, str]


def explain_unknown(spec: SweepSpec, survey: TrialSurvey) -> tuple[str, str]:
    """Return why there is no verdict, and what to do."""
    if survey.n_combinations == 0:
        return "no combination is computed yet", "Wait for the first chunk."
    if survey.n_eligible == 0:
        least = f" with {spec.min_trades} trades or more" if spec.min_trades else ""
        advice = "Lower the least number of trades, or widen the space."
        return f"no combination{least} has a {_label(spec.objective)}", advice
    if survey.n_eligible == 1:
        return "one combination competes: nothing was chosen", "Sweep at least one parameter."
    advice = "Sweep more bars, or combinations that trade."
    return "the winner's returns never vary, or are too few for a Sharpe ratio", advice


def collect_reasons(evidence: Evidence) -> list[dict[str, str]]:
    """Return what speaks for (+) and against (-) the winner, the weightiest first."""
    found = (
        *_judge_sharpe(evidence),
        *_judge_ranks(evidence),
        *_judge_neighbours(evidence),
        *_judge_place(evidence),
        *_judge_others(evidence),
    )
    return [
        {"code": code, "sign": "+" if is_good else "-", "text": text}
        for is_good, code, text in found
    ]


def _judge_sharpe(evidence: Evidence) -> Iterator[Reason]:
    best, trials, dsr = evidence.best, evidence.trials, evidence.dsr
    luck = expect_luck(evidence, trials.n_effective)
    tries = f"{trials.n_effective:,.0f} {_plural('try', trials.n_effective)}"
    is_good = dsr >= DSR_REAL
    yield (
        is_good,
        "dsr_effective",
        f"DSR {dsr:.2f}: Sharpe {best.metrics['sharpe']:.2f}, by luck the best of {tries} has "
        f"{luck:.2f}",
    )
    raw = evidence.deflate(best, trials.n_raw)
    if is_good and not math.isnan(raw):
        is_good = raw >= DSR_REAL
        verb = "still" if is_good else "falls to"
        text = f"counted as {trials.n_raw:,} independent tries: DSR {verb} {raw:.2f}"
        yield is_good, "dsr_raw", text


def _judge_ranks(evidence: Evidence) -> Iterator[Reason]:
    cscv = evidence.cscv
    if math.isnan(cscv.pbo):
        yield False, "pbo", "too few bars or different combinations for cross-validation"
        return
    low, high = evidence.null_band
    band = f"null band {low:.2f}-{high:.2f}"
    if evidence.carries_over:
        yield True, "pbo", f"PBO {cscv.pbo:.2f} is below its {band}: ranks carry over"
    elif cscv.pbo <= high:
        text = f"PBO {cscv.pbo:.2f} is inside its {band}: may be chance"
        yield False, "pbo", text
    else:
        text = f"PBO {cscv.pbo:.2f} is above its {band}: ranks turn round"
        yield False, "pbo", text
    share = cscv.loss_share
    text = f"best on one half of the bars, it loses on the other in {share:.0%} of splits"
    yield share <= MOST_LOSSES, "loss_share", text


def _judge_neighbours(evidence: Evidence) -> Iterator[Reason]:
    best, plateau = evidence.survey.best, evidence.survey.plateau
    name = evidence.spec.objective
    label = _label(name)
    if best is None or best.n_neighbours == 0:
        return
    value = f"{label} {_say(name, best.value)}"
    if best.score is None:
        yield False, "spike", f"raw best stands alone: {value}, its neighbours do not compete"
    elif evidence.is_spike:
        text = f"raw best is a spike: {value}, but {_say(name, best.score)} with its neighbours"
        yield False, "spike", text
    else:
        text = f"no spike: {value}, and {_say(name, best.score)} with its neighbours"
        yield True, "spike", text
    if plateau is None or plateau.point == best.point or evidence.plateau is None:
        return
    dsr = evidence.deflate(evidence.plateau, evidence.trials.n_effective)
    if not math.isnan(dsr):
        text = f"plateau: {label} {_say(name, plateau.score or 0.0)} with its neighbours, "
        yield dsr >= DSR_REAL, "plateau", f"{text}DSR {dsr:.2f}"


def _judge_place(evidence: Evidence) -> Iterator[Reason]:
    best = evidence.survey.best
    if best is not None and best.edges:
        text = f"raw best lies on the edge of {', '.join(best.edges)}: widen the space?"
        yield False, "edge", text
    n_trades = int(evidence.best.metrics["n_trades"])
    if n_trades < FEW_TRADES:
        text = f"raw best rests on {n_trades} {_plural('trade', n_trades)}"
        yield False, "few_trades", text


def _judge_others(evidence: Evidence) -> Iterator[Reason]:
    survey, metrics = evidence.survey, evidence.best.metrics
    share = survey.n_profitable / survey.n_eligible
    yield share > 0.5, "profitable", f"{share:.0%} of the combinations that compete make money"
    held = metrics["benchmark_sharpe"]
    if not math.isnan(held):
        is_better = evidence.beats_market
        text = f"Sharpe {'above' if is_better else 'not above'} that of buy and hold ({held:.2f})"
        yield is_better, "held", text
    known = {name: value for name, value in evidence.elsewhere.items() if not math.isnan(value)}
    if known:
        listed = ", ".join(f"{name} {value:.2f}" for name, value in known.items())
        is_good = all(value > 0.0 for value in known.values())
        yield is_good, "elsewhere", f"same settings elsewhere, Sharpe: {listed}"


def choose_advice(evidence: Evidence, word: str) -> str:
    """Return one piece of advice."""
    if not evidence.survey.is_final:
        return "Not all combinations are computed: neighbours are judged at the end."
    if word == LIKELY_LUCK:
        return "Do not trade it: sweep fewer combinations over more bars, or try another idea."
    best, plateau = evidence.survey.best, evidence.survey.plateau
    if best and plateau and plateau.point != best.point:
        return "Prefer the plateau; test it on unseen bars before use."
    if word == LIKELY_REAL:
        return "Test it on unseen bars before use: a verdict is no proof."
    return "Gather evidence before use: unseen bars, another market."


def _label(name: str) -> str:
    return _NAMES.get(name, name.replace("_", " "))


def _say(name: str, value: float) -> str:
    return f"{value:.1%}" if name in _PERCENT else f"{value:,.2f}"


def _plural(noun: str, count: float) -> str:
    if round(count) == 1:
        return noun
    return f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
