"""DSP-081, DSP-082: the files that a job leaves on a share."""

from __future__ import annotations

from pathlib import Path

import pytest
from acceptance.scanning import Scanner, good, instructions
from acceptance.server import SHARE, Server, digest, running
from conformance.wire import copies, hashes, job_of

ROOTS = (r"..\..\Windows", "../../etc/passwd", "CON", "a:b*?", "tab\tand \u202egnp", " . ", "R" * 255)


@pytest.mark.conformance("DSP-081")
@pytest.mark.parametrize("root", ROOTS)
def test_a_file_is_named_after_the_root_name_and_stays_in_its_folder(
    server: Server, scanner: Scanner, root: str
) -> None:
    """Whatever the name is, the file has one safe component, right below the folder of its user."""
    scanner.device.user = f"S-1-5-21-81-{ROOTS.index(root)}"
    token = job_of(scanner, instructions(f"share {SHARE}", root=root))
    (image,) = scanner.send(token, 1)
    good(scanner.device.end(token))
    assert scanner.ended(token).state == "Completed"
    (file,) = copies(server.home, image, without=server.settings.storage.data_dir)

    assert file.parent == server.share / scanner.device.user
    assert not set('<>:"/\\|?*\t\u202e') & set(file.name)
    assert not file.name.startswith((".", " ", "CON_", "CON."))
    assert len(file.name) <= 200


@pytest.mark.conformance("DSP-081")
def test_the_root_name_begins_the_name_of_the_file(server: Server, scanner: Scanner) -> None:
    """As far as it is harmless it stays as it is."""
    scanner.device.user = "S-1-5-21-81-1000"
    token = job_of(scanner, instructions(f"share {SHARE}", root="Delivery note 7"))
    scanner.send(token, 1)
    good(scanner.device.end(token))
    scanner.ended(token)
    (file,) = (server.share / "S-1-5-21-81-1000").iterdir()

    assert file.name.startswith("Delivery note 7_S-1-5-21-81-1000_")


@pytest.mark.conformance("DSP-082")
def test_a_file_that_is_there_is_never_overwritten(tmp_path: Path) -> None:
    """Neither somebody else's nor that of an earlier job of the same name: the next free name is taken."""
    with running(tmp_path, {"naming": {"template": "{root}_{page}"}}) as server:
        scanner = Scanner(server)
        folder = server.share / scanner.device.user
        folder.mkdir()
        (folder / "Invoice_001.png").write_bytes(b"somebody else's")
        images = []
        for _ in range(2):
            token = scanner.create(f"share {SHARE}")
            images += scanner.send(token, 1)
            good(scanner.device.end(token))
            assert scanner.ended(token).state == "Completed"
        files = {file.name: digest(file) for file in folder.iterdir()}

    names = ("Invoice_001.png", "Invoice_001-2.png", "Invoice_001-3.png")
    expected = [hashes([image])[0] for image in (b"somebody else's", *images)]
    assert files == dict(zip(names, expected, strict=True))
