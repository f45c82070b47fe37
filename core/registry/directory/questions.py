"""A question to a plugin of hooks, its future answer, and whether an answer is about what was asked."""

from __future__ import annotations

import hashlib
from concurrent.futures import Future
from dataclasses import dataclass, field

from postscan.core.filters.directory.messages import (
    Answer,
    AwayAnswer,
    BrokenAnswer,
    ProcessAnswer,
    ProcessesAnswer,
    ProcessesQuestion,
    ProcessQuestion,
    Question,
    RefusedAnswer,
    UserAnswer,
    UserQuestion,
)
from postscan.core.filters.directory.values import DirectoryProcess, DirectoryUser

HOOKS = {
    UserQuestion: "postscan_find_user",
    ProcessQuestion: "postscan_find_process",
    ProcessesQuestion: "postscan_processes",
}
"""Which hook a question is for."""


@dataclass(eq=False, slots=True)
class AskedQuestion:
    """A question with the place where its answer appears; `asked` and `sent` are monotonic seconds."""

    question: Question
    asked: float
    sent: float | None = None
    answer: Future[Answer] = field(default_factory=Future)

    def reply(self, answer: Answer) -> None:
        """Give the answer, once."""
        if not self.answer.done():
            self.answer.set_result(answer)

    def away(self, reason: str) -> None:
        """Answer that the directory does not."""
        self.reply(AwayAnswer(id=self.question.id, reason=reason[:2000]))


def mismatch(question: Question, answer: Answer) -> str:
    """Return why an answer is not one to this question; "" if it is."""
    match question, answer:
        case _, AwayAnswer() | BrokenAnswer():
            return ""
        case UserQuestion(), UserAnswer(user=user):
            return "" if user is None else _other_user(question, user)
        case ProcessQuestion(), RefusedAnswer():
            return ""
        case ProcessQuestion(), ProcessAnswer(process=process):
            return "" if process is None else _other_process(question, process)
        case ProcessesQuestion(), ProcessesAnswer():
            return ""
    return f"a {question.type} question got the answer {answer.type}"


def _other_user(question: UserQuestion, user: DirectoryUser) -> str:
    if question.sid and user.sid != question.sid:
        return f"asked for the user {question.sid}, it answered {user.sid}"
    if question.upn and user.upn.casefold() != question.upn.casefold():
        return f"asked for the UPN {question.upn!r:.200}, it answered {user.upn!r:.200}"
    if question.login and not _is_login(question.login, user):
        return f"asked for the login {question.login!r:.200}, it answered {user.login!r:.200}"
    return ""


def _is_login(login: str, user: DirectoryUser) -> bool:
    asked = login.casefold()
    return asked.rpartition("\\")[2] == user.login.casefold() or asked in (user.upn.casefold(), user.name.casefold())


def _other_process(question: ProcessQuestion, process: DirectoryProcess) -> str:
    if process.identifier != question.identifier:
        return f"asked for the process {question.identifier}, it answered {process.identifier}"
    if process.sha256 and hashlib.sha256(process.xml.encode()).hexdigest() != process.sha256:
        return f"the document of the process {process.identifier} has another hash than it declares"
    return ""
