"""Do independent things at the same time, each in a thread of its own.

Everything here waits for programs and files, so threads are enough. The first error is raised
once all have ended: nothing is left running behind the caller's back.
"""

from collections.abc import Callable, Iterable
from threading import Thread
from typing import TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")


def each(work: Callable[[Item], Answer], items: Iterable[Item]) -> list[Answer]:
    """Do `work` for every item at once; return the answers in the items' order."""
    todo = list(items)
    answers: dict[int, Answer] = {}
    errors: dict[int, BaseException] = {}

    def one(index: int) -> None:
        try:
            answers[index] = work(todo[index])
        except BaseException as error:  # noqa: BLE001  # raised again below, in the caller
            errors[index] = error

    threads = [Thread(target=one, args=(index,)) for index in range(len(todo))]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    except BaseException:  # Ctrl-C: whoever cleans up must not race with what is still starting
        for thread in threads:
            thread.join()
        raise
    for _, error in sorted(errors.items()):
        raise error
    return [answers[index] for index in range(len(todo))]
