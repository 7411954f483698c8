"""Reports on generated tiles: each asks one question, and answers it with a verdict, tables and pictures.

To add one, write a subclass of ``Report`` and add its line here.
"""

from fedray.reports.base import Figure, Finding, Judged, RealTiles, Report
from fedray.reports.collapse import Collapse
from fedray.reports.label_similarity import LabelSimilarity
from fedray.reports.memorisation import Memorisation

REPORTS: dict[str, Report] = {
    "memorisation": Memorisation(),
    "collapse": Collapse(),
    "label-similarity": LabelSimilarity(),
}
"""By name, in the order in which they are shown."""

__all__ = ["REPORTS", "Figure", "Finding", "Judged", "RealTiles", "Report"]
