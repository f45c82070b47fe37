"""Code of a filter and of a source that declare all there is to list and explain, and how tests install them."""

from __future__ import annotations

from collections.abc import Callable

from plugin_names import unused

PARCEL = '''
from dataclasses import dataclass
from typing import Literal
from postscan.plugins import Filter, element, hookimpl, setting

@dataclass(frozen=True)
class Instructions:
    """ParcelConfig: how it is packed."""
    weight: int = element("Weight", least=1, most=30, help="in kilograms")
    paper: Literal["brown", "red"] = element("Paper", default="brown", help="colour of the paper")
    labels: tuple[str, ...] = element("Labels/Label", default=(), help="what stands on it")

@dataclass(frozen=True)
class Settings:
    """Where it goes."""
    depot: str = setting("Berlin", help="where parcels are brought")
    password: str = setting("swordfish", help="of the depot", secret=True)

class Parcel(Filter):
    """Pack every page."""
    dialect = "urn:test:parcel"
    title = "Parcel"
    grace = 1.5
    Instructions = Instructions
    Settings = Settings
    def requires(self):
        yield "there is no string"
    def run(self, job, token):
        token.check()

@hookimpl
def postscan_filters():
    return [Parcel()]
'''

HAMPER = '''
from dataclasses import dataclass
from postscan.plugins import Source, hookimpl, setting

@dataclass(frozen=True)
class HamperSettings:
    """Where it stands."""
    place: str = setting("hall", help="where it stands")
    password: str = setting("swordfish", help="of the lid", secret=True)

class Hamper(Source):
    """Take what is in the hamper."""
    title = "Hamper"
    proofs = ("local", "device")
    grace = 1.5
    Settings = HamperSettings
    def requires(self):
        yield "there is no lid"
    def run(self, inlet, token):
        token.wait(60)
    def pull(self, inlet, destination):
        pass

@hookimpl
def postscan_sources():
    return [Hamper()]
'''

FEW = f"disabled = {unused('fileshare', 'stamp')}\n"
"""The key of `[plugins]` by which only few of our plugins are loaded, beside those that a test installs."""

Install = Callable[..., None]
"""Functions that install code as a plugin: its name and code; the group of entry points unless it brings filters."""
