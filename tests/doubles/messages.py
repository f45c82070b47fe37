"""What a device sends, as text: an envelope around any body, one good body for each operation, and a scan process.

Tests change these words by `replace`; they share no code with `postscan.soap`.
"""

from __future__ import annotations

DSP = "http://schemas.microsoft.com/windows/2008/12/wdp/distributedscan/processing"
PSP = "http://schemas.microsoft.com/windows/2008/02/imaging/postscan/psp"
FILTER = "http://schemas.microsoft.com/windows/2007/10/imaging/postscan/filter/"
ANONYMOUS = "http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous"

TOKEN = "8c1f3a52-77de-4b0f-9d21-5e60c4ab19f3"
PROCESS_ID = "E3A94B10-6C5D-47F2-8A0B-2D9C7F1E5B64"
SID = "S-1-5-21-1004336348-1177238915-682003330-1107"
MESSAGE_ID = "urn:uuid:41d7be0a-9f5c-4c33-8e12-7ab60c95d2f8"

NAMESPACES = (
    'xmlns:soap="http://www.w3.org/2003/05/soap-envelope" '
    'xmlns:wsa="http://schemas.xmlsoap.org/ws/2004/08/addressing" '
    f'xmlns:dsp="{DSP}" xmlns:psp="{PSP}"'
)

FILTERS = f"""
  <psp:Filter>
    <psp:Dialect>{FILTER}fileshare</psp:Dialect>
    <psp:Instructions>
      <fsf:FileShareConfig xmlns:fsf="{FILTER}fileshare">
        <fsf:FileShares>
          <fsf:ShareUNC>\\\\nas1.contoso.example\\inbox</fsf:ShareUNC>
          <fsf:ShareUNC>\\\\nas2.contoso.example\\inbox\\archive</fsf:ShareUNC>
        </fsf:FileShares>
      </fsf:FileShareConfig>
    </psp:Instructions>
  </psp:Filter>
  <psp:Filter>
    <psp:Dialect>{FILTER}email</psp:Dialect>
    <psp:Instructions>
      <emlf:EmailConfig xmlns:emlf="{FILTER}email">
        <emlf:SendToScanUser>true</emlf:SendToScanUser>
        <emlf:SendToAddresses emlf:CanAddAddresses="true">
          <emlf:EmailAddress>books@contoso.example</emlf:EmailAddress>
        </emlf:SendToAddresses>
      </emlf:EmailConfig>
    </psp:Instructions>
  </psp:Filter>
  <psp:Filter>
    <psp:Dialect>{FILTER}sharepoint</psp:Dialect>
    <psp:Instructions>
      <spf:SharePointConfig xmlns:spf="{FILTER}sharepoint">
        <spf:SaveToMySite>false</spf:SaveToMySite>
        <spf:SaveToSharePointSites>
          <spf:SaveToSharePointSiteURL>https://team.contoso.example/books/In</spf:SaveToSharePointSiteURL>
        </spf:SaveToSharePointSites>
      </spf:SharePointConfig>
    </psp:Instructions>
  </psp:Filter>
"""

INSTRUCTIONS = (
    "<psp:ContinueOnError>true</psp:ContinueOnError><psp:DocumentRootName>Delivery note</psp:DocumentRootName>"
    f"<psp:FiltersToProcess>{FILTERS}</psp:FiltersToProcess>"
)

CREATE = (
    f"<dsp:CreatePostScanJobRequest><dsp:UserIdentifier>{SID}</dsp:UserIdentifier>"
    f"<dsp:PSP_Identifier>{PROCESS_ID}</dsp:PSP_Identifier>"
    f"<dsp:PostScanInstructions>{INSTRUCTIONS}</dsp:PostScanInstructions></dsp:CreatePostScanJobRequest>"
)

SEND_IMAGE = (
    f"<dsp:SendImageRequest><dsp:JobToken>{TOKEN}</dsp:JobToken>"
    "<dsp:DocumentDescription><dsp:DocumentId>9</dsp:DocumentId><dsp:Format>jfif</dsp:Format></dsp:DocumentDescription>"
    '<dsp:ImageData><xop:Include xmlns:xop="http://www.w3.org/2004/08/xop/include" href="cid:p1%2Bfront@mfp"/>'
    "</dsp:ImageData></dsp:SendImageRequest>"
)

END = f"<dsp:EndPostScanJobRequest><dsp:JobToken>{TOKEN}</dsp:JobToken></dsp:EndPostScanJobRequest>"

CANCEL = f"<dsp:CancelPostScanJobRequest><dsp:JobToken>{TOKEN}</dsp:JobToken></dsp:CancelPostScanJobRequest>"

ELEMENTS = (
    f"<dsp:GetPostScanJobElementsRequest><dsp:JobToken>{TOKEN}</dsp:JobToken><dsp:RequestedElements>"
    "<dsp:Name>dsp:JobStatus</dsp:Name><dsp:Name>dsp:JobDescription</dsp:Name>"
    '<dsp:Name xmlns:acme="urn:example:acme">acme:Cost</dsp:Name><dsp:Name>dsp:Documents</dsp:Name>'
    "</dsp:RequestedElements></dsp:GetPostScanJobElementsRequest>"
)

BODIES = {
    "CreatePostScanJob": CREATE,
    "SendImage": SEND_IMAGE,
    "EndPostScanJob": END,
    "CancelPostScanJob": CANCEL,
    "GetPostScanJobElements": ELEMENTS,
}

TICKET = """
  <wscn:JobDescription>
    <wscn:JobName>Paper intake</wscn:JobName>
    <wscn:JobOriginatingUserName>CONTOSO\\clerk</wscn:JobOriginatingUserName>
  </wscn:JobDescription>
  <wscn:DocumentParameters>
    <wscn:Format wscn:MustHonor="true">pdf-a</wscn:Format>
    <wscn:CompressionQualityFactor>70</wscn:CompressionQualityFactor>
    <wscn:ImagesToTransfer>0</wscn:ImagesToTransfer>
    <wscn:InputSource MustHonor="1">ADFDuplex</wscn:InputSource>
    <wscn:FilmScanMode>NotApplicable</wscn:FilmScanMode>
    <wscn:ContentType>Mixed</wscn:ContentType>
    <wscn:InputSize>
      <wscn:InputMediaSize><wscn:Width>8270</wscn:Width><wscn:Height>11690</wscn:Height></wscn:InputMediaSize>
    </wscn:InputSize>
    <wscn:Exposure><wscn:ExposureSettings><wscn:Contrast>-10</wscn:Contrast></wscn:ExposureSettings></wscn:Exposure>
    <wscn:Scaling><wscn:ScalingWidth>100</wscn:ScalingWidth><wscn:ScalingHeight>100</wscn:ScalingHeight></wscn:Scaling>
    <wscn:Rotation>180</wscn:Rotation>
    <wscn:MediaSides wscn:MustHonor="false">
      <wscn:MediaFront>
        <wscn:ScanRegion>
          <wscn:ScanRegionWidth>8000</wscn:ScanRegionWidth>
          <wscn:ScanRegionHeight>11000</wscn:ScanRegionHeight>
        </wscn:ScanRegion>
        <wscn:ColorProcessing>acme:Sepia</wscn:ColorProcessing>
        <wscn:Resolution><wscn:Width>300</wscn:Width></wscn:Resolution>
      </wscn:MediaFront>
    </wscn:MediaSides>
  </wscn:DocumentParameters>
"""

PROCESS = (
    f'<psp:PostScanProcess xmlns:psp="{PSP}" xmlns:wscn="http://schemas.microsoft.com/windows/2006/08/wdp/scan" '
    'xmlns:spx="http://schemas.microsoft.com/windows/2010/09/imaging/postscan/scanprocess/extensions">'
    f"<psp:ScanRepository>scan7.contoso.example</psp:ScanRepository><psp:ScanTicket>{TICKET}</psp:ScanTicket>"
    f"<psp:PostScanInstructions>{INSTRUCTIONS}</psp:PostScanInstructions></psp:PostScanProcess>"
)


def headers(action: str, message_id: str = MESSAGE_ID) -> str:
    """Return the usual header blocks for an operation, or for any other action URI."""
    uri = action if ":" in action else f"{DSP}/{action}"
    return (
        "<wsa:To>https://scan7.contoso.example:5362/ScanServer/a</wsa:To>"
        f"<wsa:Action>{uri}</wsa:Action><wsa:MessageID>{message_id}</wsa:MessageID>"
        f"<wsa:ReplyTo><wsa:Address>{ANONYMOUS}</wsa:Address></wsa:ReplyTo>"
    )


def envelope(blocks: str, body: str) -> bytes:
    """Return an envelope around header blocks and the content of a body."""
    text = (
        f"<soap:Envelope {NAMESPACES}><soap:Header>{blocks}</soap:Header><soap:Body>{body}</soap:Body></soap:Envelope>"
    )
    return text.encode()


def message(action: str) -> bytes:
    """Return a whole, good request."""
    return envelope(headers(action), BODIES[action])
