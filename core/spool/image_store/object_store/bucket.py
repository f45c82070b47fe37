"""One prefix of a bucket: requests with a time limit, and their errors as those of the spool.

A request with more than `SMALL` bytes of an image has `spool.request_seconds`, any other one `QUICK_SECONDS`. Before
bytes are sent, the store must have answered within the last `PROOF_SECONDS`, or answer now; one that does not is not
asked again for `REST_SECONDS`. So a store that is away costs a caller a few seconds, not the limit of a large image.

A PUT may have been carried out although its answer is lost. Keys are unique, so a look at the object tells: if it is
there with all of its bytes, the PUT has succeeded; if not, the caller gets an error (F-R3).
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from postscan.core.errors import NotInstalled, SettingsError, SpoolAway
from postscan.core.settings.spool import SpoolSettings

if TYPE_CHECKING:
    from obstore.store import ObjectStore

log = logging.getLogger(__name__)

QUICK_SECONDS: Final = 2.5
"""What a request without many bytes may take."""

LOOK_SECONDS: Final = 1.5
"""What the look behind a PUT without an answer may take."""

SMALL: Final = 1 << 20
"""Most bytes of a request that is a quick one: 400 kB/s are enough."""

PROOF_SECONDS: Final = 2.0
"""For how long an answer proves that the store is there."""

REST_SECONDS: Final = 1.0
"""How long a store that did not answer is not asked again."""

ONE_PUT: Final = 16 << 20
"""Most bytes of one PUT; a larger image is sent in parts."""

PART_BYTES: Final = 8 << 20
"""Bytes of a part; two are in memory for each image that is sent."""

UPLOADS: Final = 8
"""Most images that are sent at the same time: at most `ONE_PUT` bytes of memory for each."""

CHUNK: Final = 1 << 20
"""Bytes that are read at once."""

_CONNECT_SECONDS: Final = 2.0
_WAIT_SECONDS: Final = 60.0  # for one of the `UPLOADS`
_DELETED: Final = 1000  # keys of one request

_T = TypeVar("_T")


class StoredObject(NamedTuple):
    """A key, its bytes, and when it was stored (POSIX time of the store)."""

    key: str
    size: int
    changed: float


class Bucket:
    """The objects below the prefix of `spool.store`. Safe to use from several threads; every method may block.

    Raised by all methods: `SpoolAway`.
    """

    def __init__(self, settings: SpoolSettings) -> None:
        self.name = settings.store
        self._library = _library()
        self._look = _opened(settings, LOOK_SECONDS)
        self._quick = _opened(settings, QUICK_SECONDS)
        self._bulk = _opened(settings, settings.request_seconds)
        self._sending = threading.BoundedSemaphore(UPLOADS)
        self._lock = threading.Lock()
        self._answered = float("-inf")
        self._failed = float("-inf")
        self._reason = ""

    # --- whether it is there --------------------------------------------------------------------------------------

    def check(self) -> None:
        """Return if the store has answered a moment ago, or answers now."""
        with self._lock:
            if time.monotonic() - self._answered < PROOF_SECONDS:
                return
        with contextlib.suppress(FileNotFoundError):
            self._ask(lambda: self._library.head(self._quick, "spool-id"))

    # --- writing --------------------------------------------------------------------------------------------------

    def send(self, key: str, file: Path, size: int) -> None:
        """Store a file of *size* bytes under a new key, durably as far as the store promises it."""
        self.check()
        if not self._sending.acquire(timeout=_WAIT_SECONDS):
            raise SpoolAway(f"{self.name}: {UPLOADS} images are being sent since {_WAIT_SECONDS:g} s")
        try:
            self._put(key, file, size, parts=size > ONE_PUT)
        finally:
            self._sending.release()

    def store(self, key: str, data: bytes) -> None:
        """Store a few bytes under a key; replace what it had."""
        self._ask(lambda: self._library.put(self._quick, key, data, use_multipart=False), missing=False)

    def copy(self, key: str, new: str) -> None:
        """Store the bytes of an object under another key as well, without fetching them.

        Raises `FileNotFoundError`.
        """
        self.check()
        self._ask(lambda: self._library.copy(self._bulk, key, new))

    def delete(self, keys: Iterable[str]) -> None:
        """Remove objects; harmless for those that are gone."""
        left = list(keys)
        while left:
            some, left = left[:_DELETED], left[_DELETED:]
            with contextlib.suppress(FileNotFoundError):
                self._ask(partial(self._library.delete, self._quick, some[0] if len(some) == 1 else some))

    # --- reading --------------------------------------------------------------------------------------------------

    def size(self, key: str) -> int | None:
        """Return the bytes of an object; None if there is none."""
        try:
            return int(self._ask(lambda: self._library.head(self._quick, key))["size"])
        except FileNotFoundError:
            return None

    def read(self, key: str) -> bytes | None:
        """Return the bytes of a small object; None if there is none."""
        try:
            return bytes(self._ask(lambda: self._library.get(self._quick, key).bytes()))
        except FileNotFoundError:
            return None

    def stream(self, key: str, size: int) -> Iterator[bytes]:
        """Yield the bytes of an object in chunks; each request asks for `ONE_PUT` bytes at most.

        *size* is what is expected; what comes may be more or less. Raises `FileNotFoundError`.
        """
        if size <= ONE_PUT:
            client = self._quick if size <= SMALL else self._bulk
            chunks = iter(self._ask(lambda: self._library.get(client, key)).stream(CHUNK))
            while (chunk := self._ask(lambda: next(chunks, None))) is not None:
                yield bytes(chunk)
            return
        there = self._ask(lambda: self._library.head(self._quick, key))["size"]
        for begin in range(0, there, ONE_PUT):
            end = min(begin + ONE_PUT, there)
            yield bytes(self._ask(partial(self._library.get_range, self._bulk, key, start=begin, end=end)))

    def objects(self, prefix: str = "") -> Iterator[StoredObject]:
        """Yield the objects below a prefix, which is a folder; all without one."""
        pages = iter(self._library.list(self._bulk, prefix or None, chunk_size=1000))
        while (page := self._ask(lambda: next(pages, None))) is not None:
            for one in page:
                yield StoredObject(one["path"], one["size"], one["last_modified"].timestamp())

    def folders(self, prefix: str) -> list[str]:
        """Return the names of the folders directly below one."""
        found = self._ask(lambda: self._library.list_with_delimiter(self._quick, prefix))
        return [one.rstrip("/").rpartition("/")[2] for one in found["common_prefixes"]]

    # --- one request ----------------------------------------------------------------------------------------------

    def _put(self, key: str, file: Path, size: int, *, parts: bool) -> None:
        client = self._quick if size <= SMALL else self._bulk
        try:
            self._ask(
                lambda: self._library.put(
                    client, key, file, use_multipart=parts, chunk_size=PART_BYTES, max_concurrency=2
                ),
                missing=False,
            )
        except SpoolAway as error:
            if self._is_refused(error) or self._found(key) != size:
                raise
            log.warning("image stored without an answer", extra={"file": key, "reason": str(error)})

    def _is_refused(self, error: SpoolAway) -> bool:
        """Return whether the store has answered, with a refusal: then nothing is stored."""
        return isinstance(error.__cause__, (FileNotFoundError, *self._refusals))

    def _found(self, key: str) -> int | None:
        """Look whether a PUT without an answer was carried out; None if that is unknown too."""
        try:
            return int(self._library.head(self._look, key)["size"])
        except FileNotFoundError:
            return None
        except self._errors as error:
            self._away(error, "does not answer")
            return None

    def _ask(self, request: Callable[[], _T], *, missing: bool = True) -> _T:
        """Return the result of a request; `FileNotFoundError` is an answer if *missing*, and else a refusal."""
        with self._lock:
            if time.monotonic() - self._failed < REST_SECONDS:
                raise SpoolAway(self._reason)
        try:
            result = request()
        except FileNotFoundError as error:
            if missing:
                self._note_answer()
                raise
            raise self._away(error, "has no such bucket") from error
        except self._refusals as error:
            raise self._away(error, "refuses the credentials") from error
        except self._errors as error:
            raise self._away(error, "does not answer") from error
        self._note_answer()
        return result

    @property
    def _refusals(self) -> tuple[type[Exception], ...]:
        errors = self._library.exceptions
        return (errors.PermissionDeniedError, errors.UnauthenticatedError)

    @property
    def _errors(self) -> tuple[type[Exception], ...]:
        return (self._library.exceptions.BaseError, OSError, ValueError)

    def _note_answer(self) -> None:
        with self._lock:
            self._answered = time.monotonic()

    def _away(self, error: Exception, what: str) -> SpoolAway:
        reason = f"the object store {self.name} {what}: {_first_line(error)}"
        with self._lock:
            self._answered, self._failed, self._reason = float("-inf"), time.monotonic(), reason
        return SpoolAway(reason)


def _first_line(error: Exception) -> str:
    """Return what an error says, without the answer of the store, which repeats what was signed."""
    text = str(error).partition("\n")[0].partition("<?xml")[0].partition("<Error>")[0]
    return text.strip()[:300]


def _library() -> Any:
    try:
        import obstore
        import obstore.exceptions
    except ImportError:
        raise NotInstalled("an object store for images needs obstore", "s3") from None
    return obstore


def _opened(settings: SpoolSettings, seconds: float) -> ObjectStore:
    """Return a client whose requests take at most so many seconds, repetitions included where they are quick."""
    from obstore.store import S3Store, from_url

    client: dict[str, Any] = {
        "allow_http": settings.endpoint.startswith("http://"),
        "connect_timeout": timedelta(seconds=_CONNECT_SECONDS),
        "timeout": timedelta(seconds=seconds),
    }
    retry: dict[str, Any] = {
        "max_retries": 2,
        "retry_timeout": timedelta(seconds=QUICK_SECONDS - 0.5),
        "backoff": {
            "init_backoff": timedelta(milliseconds=100),
            "max_backoff": timedelta(seconds=1),
            "base": 2,
        },
    }
    try:
        if settings.ca_certificate is not None:
            client["root_certificate"] = settings.ca_certificate.read_bytes()
        if not settings.store.startswith("s3://"):
            # The types of obstore want literal schemes, and typed dictionaries; the settings have text and a dict.
            return from_url(settings.store, client_options=client, retry_config=retry)  # type: ignore[call-overload,no-any-return]
        bucket, _, prefix = settings.store.removeprefix("s3://").partition("/")
        given = {
            "endpoint": settings.endpoint,
            "region": settings.region,
            "access_key_id": settings.access_key,
            "secret_access_key": settings.secret_key,
        }
        return S3Store(
            bucket,
            prefix=prefix or None,
            checksum_algorithm="SHA256",
            client_options=client,  # type: ignore[arg-type]  # a dict that fits its typed dictionary
            retry_config=retry,  # type: ignore[arg-type]  # the same
            **{name: value for name, value in given.items() if value},  # type: ignore[arg-type]
        )
    except Exception as error:  # noqa: BLE001  (the library has errors of its own for each key)
        raise SettingsError(f"spool.store {settings.store!r} cannot be used: {_first_line(error)}") from None
