"""The form of a scan process: fields of the process and of each filter, and the files that a submitted form makes.

A stored filter has the key `f1`, where 1 is its number in the stored process; a new one has `n1`, in the order in
which they were added. The key stands before the names of its controls. Nothing is stored here, and no filter is asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

from postscan.console import forms
from postscan.console.forms import Form, FormField
from postscan.core.errors import InvalidArgument
from postscan.core.filters.parameters import Parameter
from postscan.core.model.process import FilterInstructions, ScanProcess
from postscan.core.registry.catalogue import FilterLookup
from postscan.soap.processes import drafts, fields
from postscan.soap.processes.fields import FilterFields
from postscan.soap.processes.files import ProcessFiles

MOST_FILTERS: Final = 32
"""Filters that a form may have; a process of more is changed as XML."""

ADDED: Final = "new"
"""The control that has the dialect of a new filter, once for each."""

_POSITION: Final = ".position"
_REMOVE: Final = ".remove"

_NAME: Final = Parameter("name", "text", required=True, help="what the device shows")
_USERS: Final = Parameter(
    "users", "text", many=True, longest=1024, help="SIDs and user@domain names; none means all users"
)
_ROOT: Final = Parameter("document_root", "text", required=True, help="begin of the names of the documents")
_PROCEED: Final = Parameter(
    "continue_on_error", "true or false", required=True, help="whether the filters after one that has failed run"
)


class OpenedProcess(NamedTuple):
    """A stored process as it was read: its files, what they are, and the fields of its filters."""

    files: ProcessFiles
    process: ScanProcess
    filters: Sequence[FilterFields]


@dataclass(frozen=True, slots=True)
class FilterSection:
    """The part of a form that is about one filter. `problem` says why it has no fields, "" if it has."""

    key: str
    filter: FilterFields
    values: Mapping[str, Any] | None
    controls: Sequence[FormField] = ()
    problem: str = ""
    position: str = ""
    position_error: str = ""
    is_removed: bool = False

    @property
    def parameters(self) -> Sequence[Parameter]:
        """The parameters that have a control."""
        return self.filter.schema.parameters if self.filter.schema and not self.problem else ()


@dataclass(frozen=True, slots=True)
class ProcessForm:
    """A form as it is shown. `opened` is None for a new process; `problems` belong to no single control."""

    opened: OpenedProcess | None
    controls: Sequence[FormField]
    sections: Sequence[FilterSection]
    problems: Sequence[str] = ()
    server: str = ""

    @property
    def added(self) -> list[str]:
        """The dialects of the new filters."""
        return [one.filter.dialect for one in self.sections if one.key.startswith("n")]

    @property
    def has_errors(self) -> bool:
        """Whether the form cannot be stored as it is."""
        return bool(
            self.problems
            or any(one.error for one in self.controls)
            or any(one.position_error or any(control.error for control in one.controls) for one in self.sections)
        )

    def with_error(self, error: InvalidArgument) -> ProcessForm:
        """Return the form with an error beside the control that it is about, or as a problem of the whole form."""
        if name := drafts.NAMED.get(error.argument):
            controls = [_with_error(one, name, error) for one in self.controls]
            if any(one.name == name for one in controls):
                return replace(self, controls=controls)
        found = fields.named(error.argument, [one.filter for one in self.sections])
        if found is None or not any(one.filter is found[0] and one.controls for one in self.sections):
            return replace(self, problems=[*self.problems, str(error)])
        return self.with_error_of(found[0], found[1], error)

    def with_error_of(self, filter: FilterFields, parameter: Parameter, error: InvalidArgument) -> ProcessForm:
        """Return the form with an error beside the control of one parameter."""
        sentence = forms.sentence(parameter, error)
        sections = [
            replace(
                one,
                controls=[
                    replace(control, error=sentence) if control.name == f"{one.key}.{parameter.name}" else control
                    for control in one.controls
                ],
            )
            if one.filter is filter
            else one
            for one in self.sections
        ]
        return replace(self, sections=sections)


class SubmittedProcess(NamedTuple):
    """A form as it was submitted, and the files that it makes; None if it has errors."""

    form: ProcessForm
    files: ProcessFiles | None


def opened(process: OpenedProcess, filters: FilterLookup, added: Sequence[str] = ()) -> ProcessForm:
    """Return the form of a stored process, with new filters of these dialects behind its own."""
    sections = [
        _stored_section(*pair) for pair in zip(process.filters, process.process.instructions.filters, strict=True)
    ]
    sections += _new_sections(filters, added, len(sections))
    return ProcessForm(process, forms.form_fields("", _about(""), _stored(process.process)), sections)


def new(filters: FilterLookup, added: Sequence[str], server: str) -> ProcessForm:
    """Return the form of a new process with filters of these dialects; *server* is its default host name."""
    return ProcessForm(
        None, forms.form_fields("", _about(server), None), list(_new_sections(filters, added, 0)), server=server
    )


def with_texts(form: ProcessForm, submitted: Form) -> ProcessForm:
    """Return the form with the submitted texts, whether they are right or not."""
    return replace(
        form,
        controls=forms.resubmitted(form.controls, submitted, {}),
        sections=[
            replace(
                one,
                controls=forms.resubmitted(one.controls, submitted, {}),
                position=_first(submitted, one.key + _POSITION, one.position),
                is_removed=bool(submitted.get(one.key + _REMOVE)),
            )
            for one in form.sections
        ],
    )


def read(form: ProcessForm, submitted: Form, author: str) -> SubmittedProcess:
    """Return what a browser has submitted of this form. *author* is who makes a new process."""
    form = with_texts(form, submitted)
    stored = _stored(form.opened.process) if form.opened else None
    about = forms.read("", _about(form.server), stored, submitted)
    found = {
        one.key: forms.read(f"{one.key}.", one.parameters, one.values, submitted)
        for one in form.sections
        if not one.is_removed
    }
    form = _with_errors(form, about.errors, {key: one.errors for key, one in found.items()})
    order = [one for one in _ordered(form.sections) if not one.is_removed]
    if not order:
        form = replace(form, problems=["a process has at least one filter"])
    if form.has_errors:
        return SubmittedProcess(form, None)
    return _made(form, about.values, {key: one.values for key, one in found.items()}, order, author)


def _made(
    form: ProcessForm,
    about: Mapping[str, Any],
    values: Mapping[str, Mapping[str, Any]],
    order: Sequence[FilterSection],
    author: str,
) -> SubmittedProcess:
    instructions: dict[str, FilterInstructions] = {}
    for one in order:
        if one.key.startswith("n"):
            try:
                instructions[one.key] = fields.instructions(one.filter, values[one.key])
            except InvalidArgument as error:
                return SubmittedProcess(_with_error_in(form, one, error), None)
    try:
        files = _files(form, about, values, [instructions.get(one.key, one.filter.number) for one in order], author)
    except InvalidArgument as error:
        return SubmittedProcess(form.with_error(error), None)
    return SubmittedProcess(form, files)


def _files(
    form: ProcessForm,
    about: Mapping[str, Any],
    values: Mapping[str, Mapping[str, Any]],
    order: Sequence[int | FilterInstructions],
    author: str,
) -> ProcessFiles:
    if form.opened is None:
        return drafts.new(
            about["name"],
            about.get("users", ()),
            [one for one in order if isinstance(one, FilterInstructions)],
            server=about.get("server") or form.server,
            author=author,
            root=about.get("document_root", ""),
            continue_on_error=about.get("continue_on_error", False),
        )
    users = about.get("users", ())
    return drafts.changed(
        form.opened.files,
        form.opened.filters,
        {one.filter.number: values.get(one.key, {}) for one in form.sections if one.key.startswith("f")},
        common={name: about[name] for name in ("document_root", "continue_on_error") if name in about},
        display_name=about.get("name"),
        users=(users or ()) if "users" in about else None,
        order=order,
    )


def _about(server: str) -> list[Parameter]:
    """Return the parameters of the process; those of a new one if there is a *server*, its default host name."""
    if not server:
        return [_NAME, _USERS, _ROOT, _PROCEED]
    return [
        _NAME,
        _USERS,
        replace(_ROOT, required=False, default="", help=f"{_ROOT.help}; empty: the name"),
        replace(_PROCEED, required=False, default=False),
        Parameter("server", "text", default=server, help="host name by which devices find the server"),
    ]


def _stored(process: ScanProcess) -> dict[str, Any]:
    return {
        "name": process.display_name,
        "users": tuple(sorted(process.users)),
        "document_root": process.instructions.document_root,
        "continue_on_error": process.instructions.continue_on_error,
    }


def _stored_section(filter: FilterFields, instructions: FilterInstructions) -> FilterSection:
    key, values, problem = f"f{filter.number}", None, ""
    try:
        values = filter.values(instructions)
    except InvalidArgument as error:
        problem = f"its instructions do not fit it, and are changed as XML: {error}"
    if values is None:
        problem = problem or "no ready plugin describes its fields; they are changed as XML"
    section = FilterSection(key, filter, values, problem=problem, position=str(filter.number))
    return replace(section, controls=forms.form_fields(f"{key}.", section.parameters, values))


def _new_sections(filters: FilterLookup, added: Sequence[str], behind: int) -> Iterator[FilterSection]:
    """Yield a section for each new filter; raise `InvalidArgument` for a dialect without fields, and for too many."""
    if behind + len(added) > MOST_FILTERS and added:
        raise InvalidArgument(ADDED, f"{behind + len(added)} filters", f"at most {MOST_FILTERS}")
    for number, one in enumerate(fields.of(added, filters), 1):
        if one.schema is None:
            raise InvalidArgument(ADDED, one.dialect, "the dialect of a ready filter with fields")
        key, filter = f"n{number}", one._replace(number=behind + number)
        controls = forms.form_fields(f"{key}.", one.schema.parameters, None)
        yield FilterSection(key, filter, None, controls, position=str(behind + number))


def _ordered(sections: Sequence[FilterSection]) -> list[FilterSection]:
    """Return the sections by their positions; of two with the same one, the earlier comes first."""
    return sorted(sections, key=lambda one: _number(one.position) or 0)


def _number(text: str) -> int | None:
    """Return a position; None for what is none."""
    text = text.strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 4 else None


def _with_errors(form: ProcessForm, about: Mapping[str, str], found: Mapping[str, Mapping[str, str]]) -> ProcessForm:
    controls = [replace(one, error=about.get(one.name, "")) for one in form.controls]
    sections = []
    for one in form.sections:
        errors = {f"{one.key}.{name}": error for name, error in found.get(one.key, {}).items()}
        wrong = "" if one.is_removed or _number(one.position) is not None else "expected a whole number"
        sections.append(
            replace(
                one,
                controls=[replace(control, error=errors.get(control.name, "")) for control in one.controls],
                position_error=wrong,
            )
        )
    return replace(form, controls=controls, sections=sections)


def _with_error_in(form: ProcessForm, section: FilterSection, error: InvalidArgument) -> ProcessForm:
    """Return the form with an error of one filter, whose element may occur in others too."""
    found = fields.named(error.argument, [section.filter])
    return form.with_error(error) if found is None else form.with_error_of(section.filter, found[1], error)


def _with_error(control: FormField, name: str, error: InvalidArgument) -> FormField:
    if control.name != name:
        return control
    return replace(control, error=f"{error.value!r} is not valid; expected {error.expected}"[:500])


def _first(form: Form, name: str, otherwise: str) -> str:
    return next(iter(form.get(name, ())), otherwise)
