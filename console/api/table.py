"""All operations of the API, one row each: the router, the OpenAPI document and the tests read this table."""

from __future__ import annotations

from typing import Final

from postscan.console.api import callers, health, jobs, processes
from postscan.console.api.operations import ApiOperation
from postscan.core.model.principal import Right
from postscan.core.service.administration.records import CountsRecord, JobDetails, JobRecord

OPERATIONS: Final = (
    ApiOperation("GET", "/jobs", jobs.list_jobs, "Find jobs", jobs.FoundJobsRecord, jobs.JobSearch, links=True),
    ApiOperation("GET", "/jobs/counts", jobs.count_jobs, "Count jobs", CountsRecord),
    ApiOperation("GET", "/jobs/{token}", jobs.get_job, "Show a job", JobDetails),
    ApiOperation("GET", "/jobs/{token}/events", jobs.get_events, "Show the events of a job", jobs.EventsRecord),
    ApiOperation(
        "GET", "/jobs/{token}/deliveries", jobs.get_deliveries, "Show the deliveries of a job", jobs.DeliveriesRecord
    ),
    ApiOperation(
        "GET", "/jobs/{token}/log", jobs.get_log, "Show the log of a job", jobs.LogRecord, jobs.LogQuery, links=True
    ),
    ApiOperation("POST", "/jobs/{token}/cancel", jobs.cancel_job, "Cancel a job", JobRecord),
    ApiOperation("POST", "/jobs/{token}/hold", jobs.hold_job, "Hold a job", jobs.JobTokenRecord, conflicts=True),
    ApiOperation(
        "POST", "/jobs/{token}/release", jobs.release_job, "Release a job", jobs.JobTokenRecord, conflicts=True
    ),
    ApiOperation(
        "GET",
        "/jobs/{token}/retry",
        jobs.plan_retry,
        "Show what a retry would do",
        jobs.PlanRecord,
        jobs.RetryQuery,
        conflicts=True,
    ),
    ApiOperation(
        "POST",
        "/jobs/{token}/retry",
        jobs.retry_job,
        "Retry a job",
        jobs.JobTokenRecord,
        jobs.RetryQuery,
        status=201,
        conflicts=True,
    ),
    ApiOperation(
        "POST", "/jobs/{token}/discard", jobs.discard_job, "Discard the images", None, status=204, conflicts=True
    ),
    ApiOperation(
        "GET",
        "/processes",
        processes.list_processes,
        "List scan processes",
        processes.ProcessesRecord,
        right=Right.OPERATE,
    ),
    ApiOperation(
        "GET",
        "/processes/{process}",
        processes.get_process,
        "Show a scan process",
        processes.ProcessRecord,
        right=Right.ADMINISTER,
        unusable=True,
    ),
    ApiOperation(
        "POST",
        "/processes/{process}/check",
        processes.check_process,
        "Check a scan process",
        processes.CheckedProcessRecord,
        right=Right.ADMINISTER,
        conflicts=True,
        unusable=True,
    ),
    ApiOperation(
        "POST",
        "/processes/{process}/test",
        processes.send_test_page,
        "Send a test page",
        jobs.JobTokenRecord,
        right=Right.OPERATE,
        status=201,
        conflicts=True,
        unusable=True,
    ),
    ApiOperation(
        "GET",
        "/plugins",
        processes.list_plugins,
        "List plugins",
        processes.PluginsRecord,
        right=Right.ADMINISTER,
    ),
    ApiOperation("GET", "/health", health.get_health, "Show the health", health.HealthRecord, right=Right.SEE),
    ApiOperation(
        "POST",
        "/health/check",
        health.check_health,
        "Check plugins and destinations",
        health.HealthRecord,
        right=Right.OPERATE,
        status=202,
    ),
    ApiOperation("GET", "/me", callers.get_me, "Show the caller", callers.CallerRecord),
    ApiOperation(
        "GET",
        "/subscriptions",
        callers.list_subscriptions,
        "List subscriptions",
        callers.SubscriptionsRecord,
        right=Right.ADMINISTER,
    ),
    ApiOperation(
        "POST",
        "/subscriptions/{id}/end",
        callers.end_subscription,
        "End a subscription",
        None,
        right=Right.ADMINISTER,
        status=204,
    ),
    ApiOperation(
        "GET",
        "/audit",
        callers.list_audit,
        "Show the audit trail",
        callers.AuditLinesRecord,
        callers.AuditParameters,
        Right.ADMINISTER,
        links=True,
    ),
)
