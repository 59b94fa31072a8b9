"""Clauses about a second brand that training adds to texts about a first: what praise of one says of the other.

The labelled tweets name one brand each, so nothing in them shows a model that a text can be good for one brand and bad
for another. Written for this project; no sentence of the behavioural set (`bench/behaviour.tsv`) was used for them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Clause:
    """`before` + brand + `behind`, said ahead of a text (`leads`) or after it.

    `after` are the feelings towards the text's own brand that it goes with, `label` is the one towards its own brand;
    both count into `enrich.engine.POINTS`.
    """

    before: str
    behind: str
    leads: bool
    label: int
    after: tuple[int, ...]


_GOOD: Final = (3, 4)
_BAD: Final = (0, 1)
_ANY: Final = (0, 1, 2, 3, 4)
_WORSE, _NEITHER, _BETTER = 1, 2, 3

# What `{}` is called is never read: a marker stands there.
_GROUPS: Final[tuple[tuple[tuple[int, ...], int, bool, str], ...]] = (
    (
        _GOOD,
        _WORSE,
        False,
        """
        So much better than {}. / Way ahead of {} / Leaves {} in the dust / {} could never / Glad I left {} for it
        / Wish {} would take notes / Unlike {}, this is how you do it / {} can't compete with that / Makes {} look
        bad / beats {} any day / Don't miss {} at all / Bye {}! / Sorry {}, you lost me / Nothing like the mess at
        {} / I'm done with {} / Not going back to {}
        """,
    ),
    (
        _GOOD,
        _WORSE,
        True,
        """
        Got fed up with {} and tried something else. / Forget {}. / {} let me down again, but / After years of {}
        disappointing me: / Ditched {} last week. / Who needs {}? / Cancelled {} today.
        """,
    ),
    (
        _BAD,
        _BETTER,
        False,
        """
        Should have gone with {} / {} would never do this / Going back to {} / Switching to {} tomorrow / Thank
        god for {} / At least {} gets it right / I miss {} / {} does it so much better / Meanwhile {} just works /
        Moving everything over to {} / This is why I prefer {} / Even {} is better / Take a lesson from {} / {}
        treats people right / Happy to give my money to {} instead / Hello {}!
        """,
    ),
    (
        _BAD,
        _BETTER,
        True,
        """
        Never had a problem with {}, but / {} spoiled me. / Everything was fine back when I had {}. / Loved my
        time with {}. / {} is great, on the other hand
        """,
    ),
    (
        _GOOD,
        _BETTER,
        False,
        """
        {} too! / Same goes for {} / And {} as well / Also a big fan of {} / Love {} just as much / {} is right up
        there with it
        """,
    ),
    (
        _BAD,
        _WORSE,
        False,
        """
        {} too! / Same goes for {} / And {} as well / {} is just as bad / {} is no better / Same mess at {}
        """,
    ),
    (
        _ANY,
        _NEITHER,
        False,
        """
        (sent from {}) / Saw it on {} / Posted next to the {} building / via {} / My cousin works at {} / Read
        about it on {} this morning / Waiting in line at {} right now / Then off to {} for lunch / Watching from
        the {} lobby / There is also {} / Is {} open today?
        """,
    ),
    (
        _ANY,
        _NEITHER,
        True,
        """
        Sitting at {}. / On my way to {}. / Overheard at {}: / Passing {} on the bus. / Back from {}. / At the {}
        across the street:
        """,
    ),
)


def _clauses() -> tuple[Clause, ...]:
    made = []
    for after, label, leads, texts in _GROUPS:
        for text in " ".join(texts.split()).split(" / "):
            before, behind = text.split("{}")
            made.append(Clause(before, behind, leads, label, after))
    return tuple(made)


CLAUSES: Final = _clauses()
