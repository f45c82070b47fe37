"""Write a new scan process: the least that psp.xsd allows, with the config elements of its filters.

Source: scan-process.md sections 3 and 4.
"""

from __future__ import annotations

from typing import Final

from postscan.core.model.process import Instructions
from postscan.soap.xml import namespaces
from postscan.soap.xml.writing import escape

_WSCN: Final = "http://schemas.microsoft.com/windows/2006/08/wdp/scan"
_PROCESS: Final = f"""\
<psp:PostScanProcess xmlns:psp="{namespaces.PSP}"
                     xmlns:wscn="{_WSCN}">
  <psp:ScanRepository>{{repository}}</psp:ScanRepository>
  <psp:ScanTicket>
    <wscn:JobDescription>
      <wscn:JobName>{{title}}</wscn:JobName>
      <wscn:JobOriginatingUserName>{{author}}</wscn:JobOriginatingUserName>
    </wscn:JobDescription>
  </psp:ScanTicket>
  <psp:PostScanInstructions>
    <psp:ContinueOnError>{{proceed}}</psp:ContinueOnError>
    <psp:DocumentRootName>{{root}}</psp:DocumentRootName>
    <psp:FiltersToProcess>
{{filters}}
    </psp:FiltersToProcess>
  </psp:PostScanInstructions>
</psp:PostScanProcess>
"""
_FILTER: Final = """\
      <psp:Filter>
        <psp:Dialect>{dialect}</psp:Dialect>
        <psp:Instructions>
          {config}
        </psp:Instructions>
      </psp:Filter>"""


def write(instructions: Instructions, *, repository: str, title: str, author: str) -> bytes:
    """Return the XML of a scan process; the XML of its filters is their config elements.

    *repository* is the name of the scan server. *title* and *author* become the name and the user of the scan ticket,
    which tells the device no settings.
    """
    filters = [
        _FILTER.format(dialect=escape(one.dialect), config=one.xml.decode().replace("\n", f"\n{' ' * 10}"))
        for one in instructions.filters
    ]
    return _PROCESS.format(
        repository=escape(repository),
        title=escape(title),
        author=escape(author),
        proceed=str(instructions.continue_on_error).lower(),
        root=escape(instructions.document_root),
        filters="\n".join(filters),
    ).encode()
