"""Views of runs that MLflow's UI opens by an address: which runs, in which order, with which columns and charts.

They are tags of the experiment, as the UI's own "Save & share view" writes them, and stand in its list of views. A UI
that does not know them opens its usual page.
"""

import base64
import json
import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fedray.tracking.address import charts_url, view_url
from fedray.tracking.names import mlflow_key, picture_key

VIEW_TAG = "mlflow.sharedViewState."
"""What begins a view's tag; its key follows: the UI's are random numbers, ours begin with :data:`OURS`."""
OURS = "fedray-"
PICTURES = "-pictures"
"""What ends the key of the view of pictures that stands beside another."""

Pages = dict[str, str]
"""Addresses by what they show: ``runs``, ``charts``, ``pictures``."""

Chart = Mapping[str, Any]
"""A chart as the UI keeps it."""

START_TIME = "attributes.start_time"
"""The column *Created*."""

_PX_A_LETTER, _NARROWEST, _WIDEST = 7, 72, 150  # of a column


@dataclass(frozen=True)
class Section:
    """Charts under one heading.

    Attributes:
        name: The heading.
        charts: What it holds.
        columns: Charts beside each other.
        height: Of a chart, in px.
    """

    name: str
    charts: Sequence[Chart]
    columns: int
    height: int


@dataclass(frozen=True)
class RunsView:
    """A view of the runs of an experiment.

    Attributes:
        name: In the UI's list of views.
        search: MLflow's filter.
        order: The column by which runs are ordered: :data:`START_TIME`, or :func:`metric_column`.
        ascending: Whether its smallest value comes first.
        tags: Names of tags that are columns.
        metrics: Names of metrics that are columns, after the tags.
        params: Names of parameters that are columns.
        sections: Of its charts.
        charts_alone: Whether the charts take the place of the list of runs beside them.
    """

    name: str
    search: str
    order: str
    ascending: bool
    tags: Sequence[str] = ()
    metrics: Sequence[str] = ()
    params: Sequence[str] = ()
    sections: Sequence[Section] = ()
    charts_alone: bool = False

    def tag(self) -> str:
        """Return the value of the view's tag."""
        state = base64.b64encode(zlib.compress(json.dumps(self._state()).encode())).decode()
        return json.dumps({"name": self.name, "createdAt": time.time_ns() // 1_000_000, "state": f"deflate;{state}"})

    def _state(self) -> Mapping[str, Any]:
        columns = {"tags": self.tags, "metrics": self.metrics, "params": self.params}
        widths = {_column(kind, name): _width(name) for kind, names in columns.items() for name in names}
        places = {"attributes.`Run Name`": 210, "runDateAndNestInfo": 135} | widths
        return {
            "searchFilter": self.search,
            "orderByKey": self.order,
            "orderByAsc": self.ascending,
            "startTime": "ALL",
            "lifecycleFilter": "Active",
            "modelVersionFilter": "All Runs",
            "datasetsFilter": [],
            "selectedColumns": list(widths),
            "columnOrder": list(places),
            "columnWidths": places,
            "runsHiddenMode": "FIRST_20_RUNS",
            "runListHidden": self.charts_alone,
            "isAccordionReordered": True,  # sections stay in this order
            "compareRunSections": [_section(number, section) for number, section in enumerate(self.sections)],
            "compareRunCharts": [
                {**chart, "uuid": f"chart-{number}-{place}", "metricSectionId": f"section-{number}"}
                for number, section in enumerate(self.sections)
                for place, chart in enumerate(section.charts)
            ],
        }


def metric_column(name: str) -> str:
    """Return the column of a metric."""
    return _column("metrics", name)


def pages_of(uri: str, experiment_id: str, key: str, pictured: bool) -> Pages:
    """Return the pages that open a view, as a table and as charts, and the view of pictures beside it.

    Args:
        uri: Of the server; where none runs there are no pages.
        experiment_id: With which the view is kept.
        key: Of the view.
        pictured: Whether there is a view of pictures.
    """
    pages = {"runs": view_url(uri, experiment_id, key), "charts": charts_url(uri, experiment_id, key)}
    if pictured:
        pages["pictures"] = charts_url(uri, experiment_id, key + PICTURES)
    return {name: page for name, page in pages.items() if page}


def newest_pages(address: str, tags: Mapping[str, Mapping[str, str]]) -> Pages:
    """Return the pages of the view of ours that was kept last; none without any.

    Args:
        address: Of the UI.
        tags: Of each experiment, by its id.
    """
    begin = VIEW_TAG + OURS
    kept = [
        (json.loads(value)["createdAt"], experiment_id, name.removeprefix(VIEW_TAG))
        for experiment_id, given in tags.items()
        for name, value in given.items()
        if name.startswith(begin) and not name.endswith(PICTURES)
    ]
    if not kept:
        return {}
    _, experiment_id, key = max(kept)
    return pages_of(address, experiment_id, key, VIEW_TAG + key + PICTURES in tags[experiment_id])


def parallel_coordinates(params: Sequence[str], metric: str) -> Chart:
    """Draw a line a run, over what its parameters are, to its score."""
    keys = {"selectedParams": [mlflow_key(param) for param in params], "selectedMetrics": [mlflow_key(metric)]}
    return {"type": "PARALLEL", "showAllRuns": True, **_CARD, **keys}


def score_by_step(metric: str) -> Chart:
    """Draw a line a run: its score over the rounds."""
    key = mlflow_key(metric)
    axes = {"xAxisKey": "step", "xAxisScaleType": "linear", "scaleType": "linear", "yAxisKey": "metric", "range": {}}
    return {"type": "LINE", "metricKey": key, "selectedMetricKeys": [key], "lineSmoothness": 0, **axes, **_CARD}


def pictures(name: str, step: int) -> Chart:
    """Show the pictures ``name`` of all runs at a step; where a run has none at that step, the UI says so."""
    return {"type": "IMAGE", "imageKeys": [picture_key(name)], "step": step, "showRunParams": False, **_CARD}


_CARD = {"deleted": False, "isGenerated": False, "runsCountToCompare": 20}


def _section(number: int, section: Section) -> Mapping[str, Any]:
    return {
        "uuid": f"section-{number}",
        "name": section.name,
        "display": True,
        "isReordered": True,
        "deleted": False,
        "isGenerated": False,
        "columns": section.columns,
        "cardHeight": section.height,
    }


def _column(kind: str, name: str) -> str:
    return f"{kind}.`{mlflow_key(name)}`"


def _width(name: str) -> int:
    return min(max(_PX_A_LETTER * len(name) + 24, _NARROWEST), _WIDEST)
