"""Prints what the fuzz suite has counted."""

from __future__ import annotations


def pytest_terminal_summary(terminalreporter):
    for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed"):
        for name, text in report.user_properties:
            if name == "tally":
                terminalreporter.write_line(f"\n{report.nodeid}\n{text}")
