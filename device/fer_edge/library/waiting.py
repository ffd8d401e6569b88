"""``afollow``: the work in a thread of its own, so that an event loop never waits for a frame or for a network."""

from __future__ import annotations

import asyncio
import contextlib
import queue
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from typing import TypeVar

from fer_edge.library.following import Following, FrameLike, checked
from fer_edge.library.reading import Reading
from fer_edge.program.threads import OnceThread

T = TypeVar("T")


class Worker:
    """One thread that does what it is given, in turn; at the end of a ``with`` it ends after the work at hand."""

    def __init__(self) -> None:
        self._todo: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = OnceThread("afollow", self._run)

    def __enter__(self) -> Worker:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._todo.put(None)

    def later(self, work: Callable[[], object]) -> None:
        """Does it after what is waiting; nobody asks for its result."""
        self._todo.put(lambda: (work(), None)[1])

    async def do(self, work: Callable[[], T]) -> T:
        """Its result, without keeping the event loop from anything else.

        Raises:
            BaseException: what the work raises.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def tell(result: T | None, error: BaseException | None) -> None:
            if future.cancelled():
                return
            if error is None:
                future.set_result(result)  # type: ignore[arg-type]  # a T where there is no error
            elif isinstance(error, StopIteration):  # which no future takes
                future.set_exception(RuntimeError("StopIteration in what afollow called"))
            else:
                future.set_exception(error)

        def task() -> None:
            result: T | None = None
            problem: BaseException | None = None
            try:
                result = work()
            except BaseException as error:
                problem = error
            with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile: nobody waits any more
                loop.call_soon_threadsafe(tell, result, problem)

        self._todo.put(task)
        return await future

    def _run(self) -> None:
        while (work := self._todo.get()) is not None:
            work()


async def areadings(
    open_following: Callable[[], contextlib.AbstractContextManager[Following]],
    frames: Iterable[FrameLike] | AsyncIterable[FrameLike],
) -> AsyncIterator[Reading]:
    """Each frame's reading; waiting for the frame, reading it and telling of changes happen in one thread.

    Args:
        open_following: makes the state of the video, and gives back what it borrows.
        frames: iterated in the thread where they are plain, in the event loop where they are asynchronous.
    """
    with Worker() as worker:
        cleanup = contextlib.ExitStack()
        try:
            following = await worker.do(lambda: cleanup.enter_context(open_following()))
            if isinstance(frames, AsyncIterable):
                async for frame in frames:
                    yield await worker.do(lambda frame=frame: following.step(frame))  # type: ignore[misc]
            else:
                iterator = await worker.do(lambda: iter(checked(frames)))

                def step(iterator: Iterator[FrameLike] = iterator) -> Reading | None:
                    frame = next(iterator, None)
                    return None if frame is None else following.step(frame)

                while (reading := await worker.do(step)) is not None:
                    yield reading
            await worker.do(following.end)
        finally:
            worker.later(cleanup.close)
