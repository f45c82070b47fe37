"""The printed report of the campaign."""

from __future__ import annotations

from campaigns.flood import report
from campaigns.hostile_sources import verdicts
from campaigns.hostile_sources.findings import SourceFindings


def print_report(findings: SourceFindings) -> int:
    """Print all of it; return the exit code, which is 1 if a promise is broken or if the run shows nothing."""
    flood = findings.flood
    phases = (flood.quiet, *flood.floods)
    for one in findings.phases:
        if one.phase.senders:
            report.print_clients(one.phase)
    report.print_times("bystander", flood.of_bystander(), phases)
    report.print_repeated(flood.notes)
    report.print_times("honest device", findings.of_device(), phases)
    print()
    for phase in phases:
        report.print_use(phase, flood.log)
    return report.print_verdicts(verdicts.all_of(findings), verdicts.absent(findings))
