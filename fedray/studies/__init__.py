"""Experiments made of experiments: cells times seeds, chains through synthetic tiles, and the tables of it."""

from fedray.results.statistics import Estimate, difference, estimate
from fedray.studies.definition import Study, find_study, load_study
from fedray.studies.run import StudyPlan, StudyResult, check_study, plan_lanes, read_tables, run_study, saved_study
from fedray.studies.steps import Plan, plan_study

__all__ = [
    "Estimate",
    "Plan",
    "Study",
    "StudyPlan",
    "StudyResult",
    "check_study",
    "difference",
    "estimate",
    "find_study",
    "load_study",
    "plan_lanes",
    "plan_study",
    "read_tables",
    "run_study",
    "saved_study",
]
