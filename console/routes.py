"""The route table: all that the console answers, in one place. It feeds the router, OpenAPI, and the test of rights.

A row without a right is for each signed-in person, who sees there what is their own.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from postscan.console import metrics
from postscan.console.api.routes import API_ROUTES
from postscan.console.pages import dashboard, live, me, pictures, plugins
from postscan.console.pages.administration import accounts, audit, devices, health, settings
from postscan.console.pages.jobs import actions, found, job, support
from postscan.console.pages.login import oidc, ways
from postscan.console.pages.processes import editing, listing, xml
from postscan.console.request import ConsoleRoute
from postscan.core.model.principal import Right
from postscan.core.service.administration.actions import JobAction

ROUTES: Final = (
    # --- ways in and out ---
    ConsoleRoute("/login", "GET", ways.show, public=True),
    ConsoleRoute("/login", "POST", ways.sign_in, public=True),
    ConsoleRoute("/login/link", "GET", ways.show_link, public=True),
    ConsoleRoute("/login/link", "POST", ways.use_link, public=True),
    ConsoleRoute("/login/certificate", "POST", ways.by_certificate, public=True),
    ConsoleRoute("/login/proxy", "POST", ways.by_proxy, public=True),
    ConsoleRoute("/login/oidc", "GET", oidc.begin, public=True),
    ConsoleRoute("/login/oidc/callback", "GET", oidc.end, public=True),
    ConsoleRoute("/login/confirm", "GET", ways.show_confirm),
    ConsoleRoute("/login/confirm", "POST", ways.confirm),
    ConsoleRoute("/logout", "POST", ways.sign_out),
    # --- the person ---
    ConsoleRoute("/me", "GET", me.show),
    ConsoleRoute("/me/password", "POST", me.change_password),
    ConsoleRoute("/me/logout-everywhere", "POST", me.end_sessions),
    # --- dashboard and jobs ---
    ConsoleRoute("/", "GET", dashboard.show),
    ConsoleRoute("/jobs", "GET", found.show),
    ConsoleRoute("/jobs", "POST", found.change, Right.OPERATE),
    ConsoleRoute("/jobs/{token}", "GET", job.show),
    ConsoleRoute("/jobs/{token}/support", "GET", support.show),
    ConsoleRoute("/jobs/{token}/cancel", "GET", partial(actions.confirm, JobAction.CANCEL)),
    ConsoleRoute("/jobs/{token}/cancel", "POST", partial(actions.do, JobAction.CANCEL)),
    ConsoleRoute("/jobs/{token}/hold", "GET", partial(actions.confirm, JobAction.HOLD), Right.OPERATE),
    ConsoleRoute("/jobs/{token}/hold", "POST", partial(actions.do, JobAction.HOLD), Right.OPERATE),
    ConsoleRoute("/jobs/{token}/release", "GET", partial(actions.confirm, JobAction.RELEASE), Right.OPERATE),
    ConsoleRoute("/jobs/{token}/release", "POST", partial(actions.do, JobAction.RELEASE), Right.OPERATE),
    ConsoleRoute("/jobs/{token}/retry", "GET", partial(actions.confirm, JobAction.RETRY), Right.OPERATE),
    ConsoleRoute("/jobs/{token}/retry", "POST", partial(actions.do, JobAction.RETRY), Right.OPERATE),
    ConsoleRoute("/jobs/{token}/discard", "GET", partial(actions.confirm, JobAction.DISCARD), Right.OPERATE),
    ConsoleRoute("/jobs/{token}/discard", "POST", partial(actions.do, JobAction.DISCARD), Right.OPERATE),
    # --- processes and plugins ---
    ConsoleRoute("/processes", "GET", listing.show, Right.OPERATE),
    ConsoleRoute("/processes/new", "GET", editing.show_new, Right.ADMINISTER),
    ConsoleRoute("/processes/new", "POST", editing.create, Right.ADMINISTER),
    ConsoleRoute("/processes/new/xml", "GET", xml.show_new, Right.ADMINISTER),
    ConsoleRoute("/processes/new/xml", "POST", xml.create, Right.ADMINISTER),
    ConsoleRoute("/processes/{process}", "GET", editing.show, Right.ADMINISTER),
    ConsoleRoute("/processes/{process}", "POST", editing.save, Right.ADMINISTER),
    ConsoleRoute("/processes/{process}/xml", "GET", xml.show, Right.ADMINISTER),
    ConsoleRoute("/processes/{process}/xml", "POST", xml.save, Right.ADMINISTER),
    ConsoleRoute("/processes/{process}/test", "POST", listing.send_test_page, Right.OPERATE),
    ConsoleRoute("/processes/{process}/remove", "GET", listing.ask_to_remove, Right.ADMINISTER),
    ConsoleRoute("/processes/{process}/remove", "POST", listing.remove, Right.ADMINISTER),
    ConsoleRoute("/plugins", "GET", plugins.show, Right.ADMINISTER),
    ConsoleRoute("/plugins", "POST", plugins.load_again, Right.ADMINISTER),
    ConsoleRoute("/plugins/{name}", "GET", plugins.show_one, Right.ADMINISTER),
    ConsoleRoute("/plugins/{name}/disable", "POST", plugins.disable, Right.ADMINISTER, confirm=True),
    ConsoleRoute("/plugins/{name}/enable", "POST", plugins.enable, Right.ADMINISTER, confirm=True),
    # --- live ---
    ConsoleRoute("/live", "GET", live.stream, background=True),
    ConsoleRoute("/live/newest", "GET", live.newest, background=True),
    # --- pictures ---
    ConsoleRoute("/jobs/{token}/pictures", "GET", pictures.show_all),
    ConsoleRoute("/jobs/{token}/pictures/{document}/{page}", "GET", pictures.show, slow=True),
    ConsoleRoute("/jobs/{token}/pictures/{document}/{page}/{size}", "GET", pictures.image, slow=True),
    # --- devices, audit, health, settings, accounts ---
    ConsoleRoute("/devices", "GET", devices.show, Right.ADMINISTER),
    ConsoleRoute("/devices/sources/{name}/start", "POST", devices.start, Right.ADMINISTER),
    ConsoleRoute("/devices/sources/{name}/stop", "POST", devices.stop, Right.ADMINISTER),
    ConsoleRoute("/devices/sources/{name}/scan", "POST", devices.scan, Right.ADMINISTER),
    ConsoleRoute("/devices/subscriptions/{id}/end", "GET", devices.confirm_end, Right.ADMINISTER),
    ConsoleRoute("/devices/subscriptions/{id}/end", "POST", devices.end, Right.ADMINISTER),
    ConsoleRoute("/audit", "GET", audit.show, Right.ADMINISTER),
    ConsoleRoute("/audit.csv", "GET", audit.download, Right.ADMINISTER),
    ConsoleRoute("/health", "GET", health.show, Right.SEE),
    ConsoleRoute("/health/support.txt", "GET", health.support, Right.SEE),
    ConsoleRoute("/health/check", "POST", health.check, Right.OPERATE),
    ConsoleRoute("/settings", "GET", settings.show, Right.ADMINISTER),
    ConsoleRoute("/accounts", "GET", accounts.show, Right.ADMINISTER),
    ConsoleRoute("/accounts/new", "GET", accounts.new, Right.ADMINISTER, confirm=True),
    ConsoleRoute("/accounts/new", "POST", accounts.add, Right.ADMINISTER, confirm=True),
    ConsoleRoute("/accounts/edit", "GET", accounts.edit, Right.ADMINISTER, confirm=True),
    ConsoleRoute("/accounts/role", "POST", accounts.change_role, Right.ADMINISTER, confirm=True),
    ConsoleRoute("/accounts/password", "POST", accounts.change_password, Right.ADMINISTER, confirm=True),
    ConsoleRoute("/accounts/remove", "POST", accounts.remove, Right.ADMINISTER, confirm=True),
    ConsoleRoute("/accounts/sessions/end", "POST", accounts.end_sessions, Right.ADMINISTER),
    ConsoleRoute("/accounts/tokens/new", "GET", accounts.new_token, Right.ADMINISTER, confirm=True),
    ConsoleRoute("/accounts/tokens/new", "POST", accounts.add_token, Right.ADMINISTER, confirm=True),
    ConsoleRoute("/accounts/tokens/remove", "POST", accounts.remove_token, Right.ADMINISTER, confirm=True),
    # --- API and metrics ---
    *API_ROUTES,
    ConsoleRoute("/metrics", "GET", metrics.show, Right.SEE, open_to=lambda settings: settings.metrics_from),
)
