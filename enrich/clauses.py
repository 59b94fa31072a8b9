"""Clauses about other brands that training adds to texts about a first one.

The labelled tweets name one brand each, so nothing in them shows a model that a text can be good for one brand and bad
for another. Written for this project; no sentence of the behavioural set (`bench/behaviour.tsv`) was used for them, and
a test checks that none stands in it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

# How a place is marked, and the feeling towards the brand that stands there, counting into `enrich.engine.POINTS`.
_FEELINGS: Final = {"{-}": 1, "{0}": 2, "{+}": 3}
_PLACE: Final = re.compile(r"\{[-0+]\}")


@dataclass(frozen=True, slots=True)
class Clause:
    """`texts[0]` + brand + `texts[1]` + brand + ...; said ahead of a text (`leads`) or after it.

    `labels` are the feelings towards these brands, `after` those towards the text's own brand that it goes with; both
    count into `enrich.engine.POINTS`.
    """

    texts: tuple[str, ...]
    labels: tuple[int, ...]
    leads: bool
    after: tuple[int, ...]


_GOOD: Final = (3, 4)
_BAD: Final = (0, 1)
_ANY: Final = (0, 1, 2, 3, 4)

# What stands in a place is never read: a marker is put there.
_AFTER: Final[tuple[tuple[tuple[int, ...], str], ...]] = (
    (
        _GOOD,
        """
        So much better than {-}. / Way ahead of {-} / Leaves {-} in the dust / {-} could never / Glad I left {-} for it
        Wish {-} would take notes / Unlike {-}, this is how you do it / {-} can't compete with that / Makes {-} look bad
        beats {-} any day / Don't miss {-} at all / Bye {-}! / Sorry {-}, you lost me / Nothing like the mess at {-}
        I'm done with {-} / Not going back to {-} / {+} too! / Same goes for {+} / And {+} as well
        Also a big fan of {+} / Love {+} just as much / {+} is right up there with it
        """,
    ),
    (
        _BAD,
        """
        Should have gone with {+} / {+} would never do this / Going back to {+} / Switching to {+} tomorrow
        Thank god for {+} / At least {+} gets it right / I miss {+} / {+} does it so much better
        Meanwhile {+} just works / Moving everything over to {+} / This is why I prefer {+} / Even {+} is better
        Take a lesson from {+} / {+} treats people right / Happy to give my money to {+} instead / Hello {+}!
        {-} too! / Same goes for {-} / And {-} as well / {-} is just as bad / {-} is no better / Same mess at {-}
        """,
    ),
    (
        _ANY,
        """
        (sent from {0}) / Saw it on {0} / Posted next to the {0} building / via {0} / My cousin works at {0}
        Read about it on {0} this morning / Waiting in line at {0} right now / Then off to {0} for lunch
        Watching from the {0} lobby / There is also {0} / Is {0} open today? / {0} and {0} are both hiring
        {+} is so much better than {-} / {+} > {-} / {+} beats {-} / {-} is nowhere near {+} / Left {-} for {+}
        {-} can't hold a candle to {+} / Switched from {-} to {+} / Went from {-} to {+}, best decision ever
        Cancelled {-}, {+} it is / If {-} were half as good as {+} / {-} should learn from {+}
        Give me {+} over {-} any day / I'd take {+} over {-} / I prefer {+} to {-} / {+}, not {-}, obviously
        Unlike {-}, {+} gets it right / {-} made me wait, {+} did it in a minute / Why use {-} when there is {+}
        {-} ignored me and {+} answered right away / Nobody goes back to {-} once they've tried {+}
        {+} saved me after {-} failed / Tired of {-}, so happy with {+} / {-} is overpriced, {+} is worth every cent
        {-} broke, {+} is still going strong / I moved my account from {-} to {+} / {-} is a joke next to {+}
        {-} lost a customer and {+} won one / {+} does everything that {-} can't
        Thanks {+} for doing what {-} wouldn't / {+} delivers, {-} only promises
        {+} is no {-}, thank god / I used to be with {-}, now happily with {+} / {+} has better service than {-}
        {-} has worse food than {+} / {+} was friendly, {-} was rude / {+} is great but {-} is awful
        {-} is awful but {+} is great / {+} is cheaper than {-} and works / {-} is not as good as {+}
        I love both {+} and {+} / {+} and {+} are great / {-} and {-} are both terrible / Neither {-} nor {-} works
        {-} is as bad as {-} / {+} is as good as {+} / People hate on {+} but it's great / Stop bashing {+}
        Whoever says that {+} is bad never tried it / Everyone raves about {-}, I don't get it / {-} is overrated
        {0} opens a new store next to {0} / {0} reports earnings after {0} / Is it {0} or {0} that has the sale?
        Used to love {-}, not anymore / {+} finally fixed it / I hated {+} before, now I'm a fan
        {-} was good until they changed it / Can't complain about {+} / {+} never lets me down / {-} is not great
        Not a fan of {-} / {+} isn't bad at all / Thanks for nothing, {-} / Great job {-}, /s
        Oh wonderful, {-} again #not / Yeah right, {-}
        Crying in the {0} parking lot because of my ex / My car died on the way to {0} / Great weather here at {0}
        """,
    ),
)
_AHEAD: Final[tuple[tuple[tuple[int, ...], str], ...]] = (
    (
        _GOOD,
        """
        Got fed up with {-} and tried something else. / Forget {-}. / {-} let me down again, but
        After years of {-} disappointing me: / Ditched {-} last week. / Who needs {-}? / Cancelled {-} today.
        """,
    ),
    (
        _BAD,
        """
        Never had a problem with {+}, but / {+} spoiled me. / Everything was fine back when I had {+}.
        Loved my time with {+}. / {+} is great, on the other hand
        """,
    ),
    (
        _ANY,
        """
        Sitting at {0}. / On my way to {0}. / Overheard at {0}: / Passing {0} on the bus. / Back from {0}.
        At the {0} across the street: / {+} > {-}. / Moved from {-} to {+} this week. / {+} made my day, {-} ruined it.
        """,
    ),
)


def _clauses() -> tuple[Clause, ...]:
    made = []
    for groups, leads in ((_AFTER, False), (_AHEAD, True)):
        for after, lines in groups:
            for text in " / ".join(line.strip() for line in lines.strip().splitlines()).split(" / "):
                labels = tuple(_FEELINGS[place] for place in _PLACE.findall(text))
                made.append(Clause(tuple(_PLACE.split(text)), labels, leads, after))
    return tuple(made)


CLAUSES: Final = _clauses()
