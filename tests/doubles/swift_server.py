"""OpenStack Swift with its S3 API in one process, on loopback: a real object store, with what Debian has of it.

Run by Debian's Python, which has its packages: `/usr/bin/python3 swift_server.py FOLDER PORT`; port 0 takes a free one.
Prints the port of the S3 API when it is ready; the bucket `spool` is there. It checks signatures, and the SHA-256 that
is signed with a request.
"""

import sys
from pathlib import Path

import eventlet

eventlet.monkey_patch()

import eventlet.wsgi  # noqa: E402
from swift.common import constraints, storage_policy, utils  # noqa: E402
from swift_keys import KEY, SECRET  # noqa: E402

NODES = ("account", "container", "object")

SWIFT_CONF = """
[swift-hash]
swift_hash_path_suffix = test
swift_hash_path_prefix = test
[storage-policy:0]
name = one
default = yes
"""
DEFAULTS = """
[DEFAULT]
swift_dir = {folder}
devices = {folder}/nodes
mount_check = false
bind_ip = 127.0.0.1
bind_port = {port}
log_level = ERROR
user = {user}
"""
NODE = """
[pipeline:main]
pipeline = {kind}-server
[app:{kind}-server]
use = egg:swift#{kind}
"""
FILTERS = ("catch_errors", "gatekeeper", "memcache", "bulk", "s3api", "tempauth", "copy", "slo", "dlo")
PROXY = f"""
[pipeline:main]
pipeline = {" ".join(FILTERS)} proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
allow_account_management = true
""" + "".join(f"[filter:{name}]\nuse = egg:swift#{name}\n" for name in FILTERS)


class Silence:
    """Takes the lines of an access log."""

    def write(self, text):
        """Drop them."""


def main(folder, port):
    """Serve until the process is killed."""
    (folder / "swift.conf").write_text(SWIFT_CONF)
    for module in (utils, constraints, storage_policy):
        if hasattr(module, "SWIFT_CONF_FILE"):
            module.SWIFT_CONF_FILE = str(folder / "swift.conf")
    constraints.reload_constraints()
    storage_policy.reload_storage_policies()
    (folder / "nodes" / "d1").mkdir(parents=True, exist_ok=True)
    sockets = {kind: eventlet.listen(("127.0.0.1", 0), backlog=1024) for kind in NODES}
    sockets["proxy"] = eventlet.listen(("127.0.0.1", port), backlog=1024)
    applications = {kind: application(folder, kind, sockets[kind].getsockname()[1]) for kind in NODES}
    applications["proxy"] = application(folder, "proxy", sockets["proxy"].getsockname()[1])
    from swift.common.http_protocol import SwiftHttpProtocol

    for kind, app in applications.items():
        eventlet.spawn(eventlet.wsgi.server, sockets[kind], app, Silence(), protocol=SwiftHttpProtocol, max_size=200)
    make_bucket(applications["proxy"])
    print(sockets["proxy"].getsockname()[1], flush=True)
    while True:
        eventlet.sleep(3600)


def application(folder, kind, port):
    """Return one of the servers of Swift."""
    import getpass

    from swift.common.ring import RingBuilder
    from swift.common.wsgi import loadapp

    text = DEFAULTS.format(folder=folder, port=port, user=getpass.getuser())
    if kind == "proxy":
        text += PROXY
        user = f"user_{KEY.replace(':', '_')} = {SECRET} .admin"
        none = "memcache_servers = 127.0.0.1:1"  # tempauth asks for one, and needs none for the S3 API
        for name, option in (("tempauth", user), ("memcache", none)):
            use = f"use = egg:swift#{name}\n"
            text = text.replace(use, f"{use}{option}\n")
    else:
        text += NODE.format(kind=kind)
        place = {"ip": "127.0.0.1", "port": port, "replication_ip": "127.0.0.1", "replication_port": port}
        builder = RingBuilder(2, 1, 0)
        builder.add_dev({"id": 0, "region": 1, "zone": 0, "weight": 1.0, "device": "d1", "meta": "", **place})
        builder.rebalance()
        builder.get_ring().save(str(folder / f"{kind}.ring.gz"))
    (folder / f"{kind}.conf").write_text(text)
    return loadapp(str(folder / f"{kind}.conf"))


def make_bucket(proxy):
    """Make the bucket, by Swift's own interface."""
    from swift.common.wsgi import make_pre_authed_request

    about = {"REQUEST_METHOD": "PUT", "SERVER_NAME": "127.0.0.1", "SERVER_PORT": "80", "wsgi.url_scheme": "http"}
    made = make_pre_authed_request(about, "PUT", "/v1/AUTH_test/spool").get_response(proxy)
    if made.status_int // 100 != 2:
        raise SystemExit(f"the bucket was not made: {made.status}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
