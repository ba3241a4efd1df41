"""What is written under a lease: only while nobody else was given it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fence:
    """A lease as it was given to one holder: its number grows with every change of holder.

    To be asked for before the first look at what is decided upon, and carried to the write.
    """

    lease: str
    number: int


class LeaseLost(Exception):
    """Another was given the lease meanwhile: nothing was written. No failure: the other one does the job."""

    def __init__(self, fence: Fence) -> None:
        super().__init__(f"{fence.lease} is another's by now; it was ours as number {fence.number}")
