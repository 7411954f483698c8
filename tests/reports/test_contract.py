"""Every report passes the suite that others' reports pass."""

import pytest

from fedray.reports import REPORTS
from fedray.testing import ReportSuite


@pytest.mark.parametrize("report", REPORTS.values(), ids=REPORTS)
class TestReports(ReportSuite):
    pass
