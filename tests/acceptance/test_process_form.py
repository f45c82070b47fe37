"""A scan process made by the form of the console alone: the running server delivers a test page of it."""

from __future__ import annotations

import commands
from acceptance.server import SHARE, Server
from console_browser import Browser, person
from stored_processes import shown_form
from works import until

from postscan.cli.context import open_engine
from postscan.console.http.app import create_app
from postscan.core.model.formats import test_page
from postscan.core.model.principal import Role
from postscan.core.settings import load


def test_a_process_of_the_form_delivers_a_test_page(server: Server) -> None:
    """I20: `process check` accepts its XML, and opening and saving it changes no byte; an operator sends the page."""
    settings_file = server.home / "postscan.toml"
    with open_engine(load(settings_file)) as engine:
        app = create_app(engine, settings_file=settings_file)
        admin, operator = (Browser(app, engine).sign_in(role) for role in (Role.ADMINISTRATOR, Role.OPERATOR))
        until(lambda: admin.get("/processes/new").status_code == 200)
        form = shown_form(admin.page) | {"name": "Made by a form"}
        choice = next(text for text in admin.page.split('<option value="')[1:] if "fileshare" in text).partition('"')[0]
        admin.post("/processes/new", form | {"do": "add", "filter": choice})
        form = shown_form(admin.page)
        wrong = admin.post("/processes/new", form | {"n1.share_uncs": "no share", "do": "save"})
        assert (wrong.status_code, 'id="c-n1.share_uncs-wrong"' in admin.page) == (400, True), admin.page
        made = admin.post("/processes/new", form | {"n1.share_uncs": SHARE, "do": "save"})
        assert made.status_code == 303, admin.page
        path = made.headers["location"]

        file = engine.settings.processes_dir / f"{path.rpartition('/')[2]}.xml"
        before = file.read_bytes()
        checked = commands.run(["--config", str(settings_file), "process", "check", str(file)], timeout=300)
        assert checked.returncode == 0, checked.stderr
        admin.get(path)
        assert admin.post(path, shown_form(admin.page) | {"do": "save"}).status_code == 303
        assert file.read_bytes() == before

        operator.get("/processes")
        assert f'action="{path}/test"' in operator.page
        sent = operator.post(f"{path}/test")
        assert sent.status_code == 303, operator.page
        token = sent.headers["location"].removeprefix("/jobs/")
        until(lambda: engine.service.job(token, person(Role.OPERATOR)).state.ended)
        job = engine.service.job(token, person(Role.OPERATOR))

        assert str(job.state) == "Completed"
        assert test_page.png(1) in [page.read_bytes() for page in server.share.rglob("*.png")]
        admin.get(f"{path}/remove")
        assert admin.post(f"{path}/remove", shown_form(admin.page)).status_code == 303
        assert not file.exists()
