"""Who a client is, and by what its connections are counted."""

from __future__ import annotations

from postscan.plugins.sources.uploads.identity import Identity, peer_address, place_of


def test_connections_are_counted_by_subscriber():
    """Whoever has an IPv6 address has 2^64 of them."""
    assert place_of(peer_address("fd00::1")) == place_of(peer_address("fd00::2"))
    assert place_of(peer_address("fd00:0:0:1::1")) != place_of(peer_address("fd00::1"))
    assert place_of(peer_address("::ffff:10.0.0.9")) == "10.0.0.9"


def test_a_password_proves_less_where_the_file_is_not_encrypted():
    """The file could be someone else's; a device has no more to prove."""
    ann, device = Identity("password", "ann", "ann"), Identity("device", "10.0.0.9")

    assert ann.over(protected=True) == ann
    assert ann.over(protected=False) == Identity("clear", "ann", "ann")
    assert device.over(protected=False) == device
