"""CreatePostScanJob with wrong arguments, or with instructions that the stored scan process does not permit."""

from __future__ import annotations

from pathlib import Path

import pytest
from acceptance.bad_input.scene import ASKED, UNKNOWN, Scene, failed, invalid, nothing_left_behind
from acceptance.scanning import UNEXPECTED, Refusal, Scanner, good, instructions, refusal
from acceptance.server import SHARE, running

STORED = instructions(*ASKED, go_on="false")
STORED_DO = '<a:do xmlns:a="urn:acme">thin</a:do>'
OTHER = r"\\nas\others"
DEVIATIONS = {
    "another share": (STORED.replace(SHARE, OTHER), ("ShareUNC", OTHER)),
    "one more share": (
        STORED.replace("</f:FileShares>", f"<f:ShareUNC>{OTHER}</f:ShareUNC></f:FileShares>"),
        ("ShareUNC", OTHER),
    ),
    "no shares": (STORED.replace("FileShares>", "Nothing>"), ("Nothing", "")),
    "one more filter": (instructions(*ASKED, "copy", go_on="false"), ("FiltersToProcess", "4 filters")),
    "one filter fewer": (instructions(*ASKED[:2], go_on="false"), ("FiltersToProcess", "2 filters")),
    "another order": (instructions(ASKED[2], *ASKED[:2], go_on="false"), ("Dialect", "urn:acme:warn")),
    "another dialect": (STORED.replace("urn:acme:warn", "urn:acme:fail"), ("Dialect", "urn:acme:fail")),
    "other parameters": (STORED.replace("thin", "thick"), ("Instructions", STORED_DO.replace("thin", "thick"))),
    "another ContinueOnError": (instructions(*ASKED, go_on="true"), ("ContinueOnError", "true")),
    "another DocumentRootName": (STORED.replace("Invoice", "Payroll"), ("DocumentRootName", "Payroll")),
    "no DocumentRootName": (
        STORED.replace("<psp:DocumentRootName>Invoice</psp:DocumentRootName>", ""),
        ("DocumentRootName", ""),
    ),
    "a DocumentRootName without end": (STORED.replace("Invoice", "I" * 256), ("DocumentRootName", "I" * 255)),
    "no filters": (instructions(go_on="false"), ("Filter", "")),
    "no instructions": ("", ("DocumentRootName", "")),
    "nonsense for ContinueOnError": (STORED.replace(">false<", ">maybe<"), ("ContinueOnError", "maybe")),
    "something else": (f"{STORED}<psp:Priority>1</psp:Priority>", ("Priority", "1")),
}


@pytest.mark.parametrize(("sent", "detail"), DEVIATIONS.values(), ids=DEVIATIONS)
def test_instructions_that_differ_from_the_stored_ones_are_refused(
    scene: Scene, sent: str, detail: tuple[str, str]
) -> None:
    """DSP-019, DSP-021, DSP-022, O-1, O-2, T-O6: the fault names the element, and no job is made."""
    with nothing_left_behind(scene.server):
        fault = refusal(scene.create(sent, STORED))

        assert fault == scene.related(invalid(*detail))


SPX = "http://schemas.microsoft.com/windows/2010/09/imaging/postscan/scanprocess/extensions"


def test_what_the_stored_process_permits_may_differ(scene: Scene) -> None:
    """DSP-022, O-2, O-3: another root name; and the same thing in other words is no difference."""
    allow = f'<x:AllowDeviceFileNameChange xmlns:x="{SPX}">true</x:AllowDeviceFileNameChange>'
    identifier = scene.server.store(STORED, allow=allow)
    renamed = STORED.replace("Invoice", "March")
    reworded = STORED.replace(SHARE, SHARE.upper() + "\\").replace(">false<", "> 0 <").replace("f:", "q:")
    reworded = reworded.replace("xmlns:f=", "xmlns:q=")

    assert good(scene.device.create(identifier, renamed)).find("JobToken")
    assert good(scene.device.create(identifier.lower(), reworded)).find("JobToken")
    assert refusal(scene.device.create(identifier, STORED.replace(SHARE, OTHER))).detail == ("ShareUNC", OTHER)


def test_an_unknown_process_and_somebody_elses_answer_alike(scene: Scene) -> None:
    """DSP-017, O-4, O-6, T-O7: no device can find out which processes there are."""
    foreign = scene.server.store(instructions("copy"), users=("S-1-5-21-9-9-9-9",))
    identifiers = (foreign, UNKNOWN.upper())
    with nothing_left_behind(scene.server):
        faults = [
            refusal(scene.device.create(identifier, instructions("copy"), message_id=scene.message_id))
            for identifier in identifiers
        ]

        assert faults == [
            scene.related(invalid("PSP_Identifier", identifier)) for identifier in (foreign, UNKNOWN.upper())
        ]


USERS = ("mlopez", "S-1-5-", "S-1-5-21-4294967296", "S-2-5-21-1", "", "S-1-5-21-1-\u0663")


@pytest.mark.parametrize("user", USERS)
def test_a_user_who_is_no_sid_is_refused(scene: Scene, user: str) -> None:
    """DSP-016."""
    scene.device.user = user
    with nothing_left_behind(scene.server):
        fault = refusal(scene.create(instructions(*ASKED)))

        assert fault == scene.related(invalid("UserIdentifier", user))


@pytest.mark.parametrize("missing", ["UserIdentifier", "PSP_Identifier", "PostScanInstructions"])
def test_a_create_that_lacks_an_argument_is_refused_by_its_name(scene: Scene, missing: str) -> None:
    """DSP-014, DSP-015."""
    values = {
        "UserIdentifier": scene.device.user,
        "PSP_Identifier": UNKNOWN,
        "PostScanInstructions": instructions("copy"),
    }
    content = "".join(f"<dsp:{name}>{value}</dsp:{name}>" for name, value in values.items() if name != missing)
    with nothing_left_behind(scene.server):
        body = scene.device.envelope("CreatePostScanJob", content, message_id=scene.message_id)
        fault = refusal(scene.device.post(body))

        assert fault == scene.related(invalid(missing))


def test_a_broken_stored_process_is_not_the_devices_fault(scene: Scene) -> None:
    """F-R29: the log says which file and why, the device hears nothing of it."""
    identifier = scene.server.store(instructions("copy", root="Broken"))
    (scene.server.settings.processes_dir / f"{identifier}.xml").write_text("<oops>")
    with nothing_left_behind(scene.server):
        fault = refusal(scene.device.create(identifier, instructions("copy"), message_id=scene.message_id))

        assert fault == scene.related(failed())
        assert f"{identifier}.xml cannot be used" in scene.server.log()


def test_a_device_with_too_many_open_jobs_is_asked_to_wait(tmp_path: Path) -> None:
    """T-Q1: a new job is possible as soon as an old one is gone; another device does not notice."""
    with running(tmp_path, {"limits": {"open_jobs": 2}}) as server:
        one, other = Scanner(server), Scanner(server, "127.0.0.2")
        tokens = [one.create("copy"), one.create("copy")]
        fault = refusal(one.device.create(server.store(instructions("copy")), instructions("copy")))
        other.create("copy")
        good(one.device.cancel(tokens[0]))
        one.create("copy")

        temporary = Refusal(500, "soap:Receiver", "dsp:ServerErrorTemporaryError", UNEXPECTED, None, fault.relates_to)
        assert fault == temporary
