"""What a sweep's report says in sentences: what mattered, and how much so few trials can tell."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import pandas as pd

from fedray.sweep.constraints import EXCESS
from fedray.sweep.report.importance import FANOVA, FEWEST, PED_ANOVA


def by_compared(importance: pd.DataFrame) -> list[pd.DataFrame]:
    """Part a table of importances into those of the same trials, those of the most trials first."""
    return [rows for _, rows in importance.groupby(["trials", "round"], sort=False)]


def order_of(rows: pd.DataFrame) -> list[str]:
    """Name the parameters, the most important first: by fANOVA, then those that PED-ANOVA alone has."""
    methods = [rows[rows["method"] == method] for method in (FANOVA, PED_ANOVA)]
    return list(dict.fromkeys(str(name) for some in methods for name in some["parameter"]))


def what_mattered(rows: pd.DataFrame) -> str:
    """Say which parameters mattered more than they would seem to by chance.

    Args:
        rows: Of the same trials, as :func:`fedray.sweep.report.importance.importances` gives them; empty where it gives
            none.
    """
    if rows.empty:
        return f"What mattered cannot be said: fewer than {FEWEST} trials have scores that compare, or all score alike."
    beyond = rows[rows["importance"] > rows["chance"]]
    found = {name: set(beyond[beyond["parameter"] == name]["method"]) for name in order_of(rows)}
    both = [name for name, methods in found.items() if len(methods) == 2]
    one = [f"{name} (by {methods.pop()} alone)" for name, methods in found.items() if len(methods) == 1]
    trials, searched = int(rows["trials"].iloc[0]), rows["parameter"].nunique()
    if not both and not one:
        return (
            f"Nothing of what was searched can be told from chance: {trials} trials say too little about {searched} "
            f"{'values' if searched > 1 else 'value'}, and with other trials an order by importance would be another."
        )
    parts = [f"{_and(both)} mattered: both methods find more than chance reaches."] if both else []
    parts += [f"{_and(one)} may have mattered."] if one else []
    if left := searched - len(both) - len(one):
        parts.append(
            f"Of the other {left} nothing can be said." if left > 1 else "Of the other one nothing can be said."
        )
    return " ".join(parts)


def compared_words(rows: pd.DataFrame) -> str:
    """Say which trials' scores were compared, and when."""
    round_index, trials = int(rows["round"].iloc[0]), int(rows["trials"].iloc[0])
    when = "the final score" if round_index == 0 else f"the score after round {round_index}"
    return f"{when} of {trials} trials"


def _and(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def ending(trial: Mapping[Hashable, Any]) -> str:
    """Say how a trial of the table ended."""
    outcome, rounds = str(trial["outcome"]), int(trial["rounds"])
    if outcome == "pruned":
        return f"stopped after round {rounds}"
    if outcome == "complete" and trial.get(EXCESS, 0.0) > 0.0:
        return "complete, infeasible"
    return outcome if outcome == "complete" else f"{outcome} after round {rounds}"


def how_few(trials: pd.DataFrame, num_searched: int) -> str:
    """Say how much so many trials can tell at all.

    Args:
        trials: The sweep's table.
        num_searched: Searched values.
    """
    outcomes = trials["outcome"].value_counts().to_dict()
    told = ", ".join(
        f"{outcomes[name]} {name}" for name in ("complete", "pruned", "failed", "unfinished") if name in outcomes
    )
    whole = outcomes.get("complete", 0)
    if whole < 2 * num_searched:
        return (
            f"{len(trials)} trials ({told}) are few for {num_searched} searched values: they show whether something "
            "works, not what is best. Read charts below as the trials that they are, and order nothing by them."
        )
    return f"{len(trials)} trials: {told}."
