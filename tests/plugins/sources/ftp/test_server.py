"""The beginning and the end of a server."""

from __future__ import annotations

import socket
import threading

import pytest
from ftp_client import FtpClient, end
from ftp_inlets import JPEG

from postscan.core.filters.source.messages import SourceFailed, SourceFinished


def test_it_reports_where_it_listens(inlet):
    """For `postscan sources list`."""
    assert inlet.server.health == [("ready", f"port {inlet.port}, port {inlet.implicit_port}")]


def test_a_port_that_is_taken_ends_the_source_with_a_sentence(make_inlet):
    """The server starts it again later."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        end_of_it = make_inlet.refused(port=port)
    assert isinstance(end_of_it, SourceFailed)
    assert f"cannot listen on 127.0.0.1 port {port}: Address already in use" in end_of_it.error


def test_a_certificate_that_cannot_be_used_ends_the_source_with_a_sentence(make_inlet, tmp_path):
    """And the doctor says the same."""
    broken = tmp_path / "broken.pem"
    broken.write_text("no certificate")
    end_of_it = make_inlet.refused(certificate=str(broken))
    assert isinstance(end_of_it, SourceFailed)
    assert f"the certificate {broken} cannot be used" in end_of_it.error


def test_at_the_stop_sessions_are_told_and_uploads_come_to_their_end(inlet):
    """A file that is on its way may arrive; no further one is taken."""
    with FtpClient(inlet.port) as idle, FtpClient(inlet.port) as busy:
        connection = busy.begin("STOR /Invoices/scan.jpg")
        inlet.server.stop()
        assert idle.reply() == "421 The server stops; come again later."
        assert idle.reply() == ""
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", inlet.port), 60)

        busy.send("EPSV", "STOR /Invoices/next.jpg")
        connection.sendall(JPEG)
        end(connection)
        replies = [busy.reply() for _ in range(4)]
    assert replies[0][:3] in {"226", "452"}  # the server may take no job any more
    assert "150" not in {reply[:3] for reply in replies[1:]}
    inlet.server.wait_for(lambda: inlet.server.end)
    assert isinstance(inlet.server.end, SourceFinished)


def test_nothing_is_left_of_a_server(make_inlet):
    """No thread, and no port."""
    before = threading.active_count()
    inlet = make_inlet()
    with FtpClient(inlet.port) as client:
        client.store("/Invoices/scan.jpg", JPEG)
    make_inlet.close()
    assert threading.active_count() == before
    with socket.create_server(("127.0.0.1", inlet.port)):
        pass
