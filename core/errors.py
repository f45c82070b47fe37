"""Every error that a caller of the core may catch.

    PostscanError
    ├── JobNotFound            no such job, or not the caller's: both raise the same
    ├── SubscriptionNotFound   no such subscription, or ended, or not the caller's
    ├── AccountNotFound        no such account
    ├── NotAdministrator       the caller's role does not allow this
    ├── WrongState             the job's state does not allow it
    │   └── JobCanceled        because it was cancelled
    ├── Overtaken              another process runs the job meanwhile; the change of this run is not made
    ├── InvalidArgument        names the argument, the value, and what was expected
    ├── RequestReused          the MessageID of an earlier request, with another content
    ├── Throttled              too many tokens that are not the caller's, or too many wrong passwords
    ├── StoredProcessInvalid   a stored scan process cannot be used; the server's error
    ├── StoredProcessChanged   a stored scan process is not as the caller has read it; nothing is changed
    ├── PictureUnavailable     there is no picture of this page; the text says why
    ├── PicturesRefused        the caller may see the job, and not its pages; the text says why
    ├── OriginRefused          a source offers what no job is made of; the text is for the origin
    ├── Unavailable            may work later
    │   ├── SpoolFull          no room for the image
    │   │   └── SpoolAway      the store of the images does not answer, or refuses
    │   └── StoreBusy          the database did not answer in time; nothing is changed
    │       ├── OutcomeUnknown the same, but the change may be stored
    │       └── StoreFull      it has no room on its disk
    ├── ImageDamaged           the bytes of an image are gone, or not those that were stored
    ├── SettingsError          names the file, the key, and what was expected
    ├── NotInstalled           names the extra that has to be installed
    └── PluginError            names the plugin and what is wrong with it

Front ends translate these into faults, exit codes and messages.
"""

from __future__ import annotations


class PostscanError(Exception):
    """Base class of all errors of postscan."""


class JobNotFound(PostscanError, LookupError):
    """No job with this token belongs to the caller.

    A foreign job and an unknown one raise the same error, so that callers cannot probe for tokens.
    """

    def __init__(self, token: str) -> None:
        super().__init__(f"there is no job {token!r} of this caller")
        self.token = token


class SubscriptionNotFound(PostscanError, LookupError):
    """No subscription of the caller has this identifier; it may be unknown, expired or another caller's."""

    def __init__(self, id: str) -> None:
        super().__init__(f"there is no subscription {id[:64]!r} of this caller")
        self.id = id


class AccountNotFound(PostscanError, LookupError):
    """No account has this name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no account {name[:64]!r}")
        self.name = name


class NotAdministrator(PostscanError):
    """The caller has not the right to do this; `right` is the one that it needs (`Right`)."""

    def __init__(self, who: str, right: str = "administer") -> None:
        needs = "is no administrator" if right == "administer" else f"has not the right to {right}"
        super().__init__(f"{who} {needs}")
        self.right = right


class WrongState(PostscanError):
    """The state of a job or of a filter does not allow the verb."""

    def __init__(self, verb: str, state: str) -> None:
        super().__init__(f"cannot {verb} while {state}")
        self.verb = verb
        self.state = state


class JobCanceled(WrongState):
    """The job takes no more images because it was cancelled."""


class Overtaken(PostscanError):
    """Another process has resumed the job, or this one has: a change of an earlier turn is not made."""

    def __init__(self, token: str, turn: int) -> None:
        super().__init__(f"job {token} was resumed since its turn {turn}")


class InvalidArgument(PostscanError, ValueError):
    """An argument of a request is missing, unknown or wrong.

    `argument` is the element's name as the protocol spells it; `value` is what was sent ("" when missing).
    """

    def __init__(self, argument: str, value: str = "", expected: str = "") -> None:
        shown = value if len(value) <= 64 else value[:61] + "..."
        sentence = f"{argument}: {shown!r} is not valid" if value else f"{argument} is missing or empty"
        super().__init__(f"{sentence}; expected {expected}" if expected else sentence)
        self.argument = argument
        self.value = value
        self.expected = expected


class RequestReused(PostscanError):
    """A request has the MessageID of an earlier one of the same caller, but another content."""

    def __init__(self, message_id: str) -> None:
        super().__init__(f"the request {message_id!r} was made before, with another content")
        self.message_id = message_id


class Throttled(PostscanError):
    """The caller has sent too many tokens of others, or wrong passwords; it may try again after `seconds`."""

    def __init__(self, who: str, seconds: float, what: str = "unknown tokens") -> None:
        super().__init__(f"{who} has sent too many {what}; try again in {seconds:.0f} s")
        self.seconds = seconds


class StoredProcessInvalid(PostscanError):
    """A scan process in the store is broken, so no job can be created of it."""


class StoredProcessChanged(PostscanError):
    """A stored scan process is not as the caller has read it, so it was not changed."""


class PictureUnavailable(PostscanError):
    """There is no picture of a page, and asking again does not help; the text is a sentence without a subject."""


class PicturesRefused(PostscanError):
    """The caller may see a job and not the pictures of its pages; the text is a sentence that says why."""


class OriginRefused(PostscanError):
    """A source offers what the server makes no job of, however often it comes.

    The text may be shown at the origin: it names no user and no setting. `detail` is for the audit trail.
    """

    def __init__(self, sentence: str, detail: str = "") -> None:
        super().__init__(sentence)
        self.detail = detail or sentence


class Unavailable(PostscanError):
    """The server cannot do this now; the same request may work later."""


class SpoolFull(Unavailable):
    """There is no room for an image, or it cannot be written."""


class SpoolAway(SpoolFull, OSError):
    """The store of the images does not answer in time, or refuses; what was to be kept is not acknowledged.

    An `OSError` as well: who reads or removes files of a folder meets the same kind of error.
    """


class StoreBusy(Unavailable):
    """The database is locked or cannot be reached. Nothing is changed, unless it is an `OutcomeUnknown`."""


class OutcomeUnknown(StoreBusy):
    """The database failed while it committed, and does not answer whether it did.

    At this error, remove nothing that the change would refer to, and read the row before you repeat the change.
    """


class StoreFull(StoreBusy):
    """The disk of the database has no room."""


class ImageDamaged(PostscanError):
    """The bytes of an image are gone from the spool, or are not those that were stored."""


class SettingsError(PostscanError):
    """A setting is unknown or has a value that cannot be used."""


class NotInstalled(PostscanError):
    """A library is not installed; the message names the extra that it belongs to."""

    def __init__(self, need: str, extra: str) -> None:
        super().__init__(f"{need}, which is not installed: pip install 'postscan[{extra}]'")
        self.extra = extra


class PluginError(PostscanError):
    """A plugin cannot be used; the message gives the reason."""
