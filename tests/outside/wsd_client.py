"""The package WSDiscovery, a stranger's client: ask everybody on the network for devices, print the answers as JSON.

It can ask one host alone as well, but does not read the answer to that.
"""

import json

from wsdiscovery import QName
from wsdiscovery.discovery import ThreadedWSDiscovery

DEVPROF = "http://schemas.xmlsoap.org/ws/2006/02/devprof"
SECONDS = 4

client = ThreadedWSDiscovery()
client.start()
found = client.searchServices(types=[QName(DEVPROF, "Device")], timeout=SECONDS)
seen = [
    {
        "endpoint": service.getEPR(),
        "addresses": service.getXAddrs(),
        "types": [f"{{{name.getNamespace()}}}{name.getLocalname()}" for name in service.getTypes()],
    }
    for service in found
]
client.stop()
print(json.dumps(seen))
