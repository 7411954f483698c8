"""What mattered in a sweep: importances with their uncertainty, and a page of all that is known of its trials."""

from fedray.sweep.report.making import keep_report

__all__ = ["keep_report"]
