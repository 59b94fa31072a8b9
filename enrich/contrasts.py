"""Posts about one to three brands that fare differently, made from parts for training.

A tweet of the labelled sets names one brand, and the post's feeling is that brand's; here it is not: two brands in one
post fare differently, or the strong feeling belongs to something else. The parts are in `enrich.contrast_parts`.
Written for this project, without sight of the behavioural set (`bench/behaviour.tsv`).

In a frame `{-}`, `{0}` and `{+}` mark a brand and the feeling towards it; the same mark is the same brand, a letter
makes it another one (`{+b}`). `{x}` and `{y}` are two brands of any feeling. `<+>`, `<->`, `<0>`, `<x>`, `<y>` hold
what is said of such a brand, `<+v>` a short verdict; other names in angle brackets are those of `_POOLS`.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from typing import Final

from enrich import contrast_parts as parts

_PLACE: Final = re.compile(r"\{([-+0])([a-z]?)\}")
_SLOT: Final = re.compile(r"<([-+0a-z]+)>")
_START: Final = re.compile(r"(^|(?<![.])[.!?:]\s+|\n)([a-z])")
_POINTS: Final = {"-": -1, "0": 0, "+": 1}


@dataclass(frozen=True, slots=True)
class Contrast:
    """A post in parts: `texts[0]` + brand + `texts[1]` + brand + ... .

    `brands[k]` says which brand (0, 1, 2) stands in place k, `labels[b]` is the feeling towards brand b (-1, 0, 1);
    `whole` is the feeling of the post as a whole where it is clear, else None.
    """

    texts: tuple[str, ...]
    brands: tuple[int, ...]
    labels: tuple[int, ...]
    whole: int | None = None


@dataclass(frozen=True, slots=True)
class _Group:
    """Frames that share a `share` of the draws and a feeling of the whole; `own`: an opinion, not a mere event."""

    share: float
    whole: int | None
    frames: tuple[str, ...]
    own: bool = True


# Two brands that may fare alike or not.
_FLAT: Final = parts.phrases(
    """
    {x} <x>, {y} <y>. / {x} <x>. {y} <y>. / {x} <x> and {y} <y> / {x}: <xv>. {y}: <yv>. / {x} - <xv>, {y} - <yv> / My
    week: {x} <x>, {y} <y> / Had dealings with two of them today. {x} <x>, {y} <y> / tried {x} and {y}. {x} <x>. {y}
    <y>. / 1) {x} <xv> 2) {y} <yv> / {x} (<xv>), {y} (<yv>) / Been with both. {x} <x>. {y} <y>. / Since someone
    asked: {x} <x>, {y} <y>. / {x} vs {y}, my notes: {x} <x>; {y} <y> / {x} → <xv>, {y} → <yv> / So {x} <x>, and {y}
    <y>. / For the record, {x} <x>. {y} <y>. / Monday: {x} <x>. Tuesday: {y} <y>. / my mum has {x}, it <x>. i have
    {y}, it <y>. / scores so far: {x} <xv>, {y} <yv> / Our {x} one <x>. Our {y} one <y>. / I've used {x} and {y} for
    years. {x} <x>, {y} <y> / What I learned this month: {x} <x>, {y} <y>. / {x}? <xv>. {y}? <yv>. / quick review.
    {x}: <xv>. {y}: <yv>.
    """
)
# Two brands of which one fares well and one badly, in either order.
_AGAINST: Final = parts.phrases(
    """
    While {x} <x>, {y} <y>. / {x} <x> but {y} <y> / {x} <x>, whereas {y} <y>. / {x} <x>. Meanwhile {y} <y>. / {x}
    <x>, then {y} <y>. What a day / {x} <x>; {y}, on the other hand, <y> / How is it that {x} <x> while {y} <y>? /
    Same street, same price: {x} <x>, {y} <y> / {x} <x> though {y} <y> / two emails, same morning. {x} <x>. {y}
    <y>. / Tale of two firms: {x} <x>, {y} <y>. / Funny how {x} <x> and yet {y} <y> / {x}: <xv>. {y}? <yv>. / Say
    what you like about {y} but it <y>. {x} <x>. / {x} <x>. As for {y}, it <y>. / I asked both for help. {x} <x>, {y}
    <y> / Same problem, two companies. {x}: <xv>, {y}: <yv>. / from {x} (<xv>) to {y} (<yv>) in one afternoon / {x}
    <x>... and then there's {y}, which <y>
    """
)
_BETTER: Final = parts.phrases(
    """
    Traded my {-} <t> for a {+} one and {+} <+> / traded my {-} for {+}. {+} <+> / Swapped {-} for {+}, haven't
    looked back / stayed with {+}, glad i didn't leave for {-} / nearly left {+} for {-}. Then i saw that {-} <->.
    Staying put! / {-} waved a big discount at me, but {+} <+>. Not moving. / {-} keeps sending me offers. No ta, {+}
    <+> / Left {-} in march because it <->. {+} <+>. Never going back to {-} / {-} <->, so I took my money to {+}.
    {+} <+>. / {+} puts {-} to shame / {+} runs rings round {-} / {+} wipes the floor with {-} / Moved the whole
    family off {-} and on to {+}, we're all happier / {-} <->. {+} sorted me out in the end / After the mess with {-}
    (it <->), {+} <+>. Bless them / Third time lucky: {-} <->, {-b} <->, {+} <+> / went through {-}, then {-b},
    before i found {+}. {+} <+> / first {-} (<-v>), next {-b} (<-v>), now {+} (<+v>) / Best decision of the year was
    dumping {-} for {+} / {-} <->. Cheers to {+} for <+ing> instead / {+} is miles ahead of {-} on <f> / Ok i was
    wrong to stick with {-} so long. {+} <+> / my {-} <t> was a waste of money. {+}? Well, {+} <+> / {+} is not worse
    than {-}, it's miles better, whatever they say / if you're still with {-}, do yourself a favour and try {+} / {+}
    did for free what {-} wanted £80 for / Wanted {-}, got {+} as they were sold out, and phew: {-} <-> while {+}
    <+> / So glad {+} was there when {-} let us down / {+} picked up the pieces {-} left behind
    """
)
_WORSE: Final = parts.phrases(
    """
    Left {+} for {-}. {-} <->. I want {+} back / should never have swapped {+} for {-}, it <-> / gave up my {+} <t>
    for a {-} one. Biggest mistake of the year / The office made us drop {+} for {-}. {-} <->. / work moved us off
    {+} on to {-} and everyone's miserable / {+} looked after us for ten years, then {-} took over and it <-> / they
    closed my {+} so now i'm stuck with {-}, which <-> / Come back {+}, all is forgiven. {-} <-> / I left {+} to save
    a tenner and {-} <->. Lesson learned / {+} never did this to me. {-} <-> / my landlord picked {-}, i'd have {+}
    any day. {-} <-> / missing {+} so bad, {-} <-> / {-} is what you get when {+} is sold out, and it <-> / {-} could
    learn from {+} / {-} could learn a thing or two about <f> from {+} / {-} wishes it was {+} / {-} is a poor man's
    {+} / {-}, please, just copy {+} / a {-} case scratched my gorgeous {+} phone / my lovely {+} laptop killed by a
    {-} charger / {-} batteries leaked all over the {+} torch i adore / The {-} delivery bloke smashed the {+} cake
    i'd been dreaming of all week / the {+} soup was heaven till {-} spilled half of it in the bag / {-} app keeps
    cutting out my brilliant {+} headphones / beautiful {+} mug, shame {-} posted it in an envelope / {-} has ruined
    my week and {+} can't take me until may, gutted, it's the only place that <+> / why did i let them talk me out of
    {+} and into {-} / we got {-} now since {+} left town. Cried a little tbh. {-} <->
    """
)
_EVEN: Final = parts.phrases(
    """
    {+} > {-} / {-} < {+} / {+} >>> {-} / {+} over {-} any day of the week / {+} 1 - 0 {-} / {+} beats {-} for <f> /
    {-} isn't a patch on {+} / {+} yes, {-} no / team {+}, never team {-} / {-} is nothing next to {+} / {-} wants
    £40 for what {+} sells at £12. Robbery / same thing, {-} £19, {+} £11. Guess who's ripping us off / {+} costs
    more than {-} and it's worth it, {-} <-> / {-} is cheaper than {+} and boy does it show. {+} <+>, {-} <-> / <f>?
    {+}, hands down. {-} isn't even close / for <f> it's {+} every time, {-} <-> / Ranking: {+} first, {0} in the
    middle, {-} dead last / Best to worst: {+}, {0}, {-} / {+} 10/10, {0} 5/10, {-} 0/10 / worst to best: {-}, {0},
    {+} / {+}: <+v>. {0}: <0v>. {-}: <-v>. / {-}: <-v>. {+}: <+v>. {0}: <0v>. / love the <t> from {+}, can't stand
    {-} / {+} has <f> nailed. {-} <-> / {-} let <f> slide for years, {+} takes it seriously / {-} vs {+}? {+}. Easy.
    {-} <-> / Q: {-} or {+}? A: {+}, because {-} <-> / no contest: {+} <+>, {-} <-> / unlike {-}, {+} <+> / unlike
    {+}, {-} <-> / {+} <+>, which is more than {-} ever did / {-} <->. You'd never get that from {+} / {+} fixed what
    {-} broke / can someone tell {-} how {+} does it / what {+} does in a day takes {-} a month / i trust {+} with my
    life, {-} with nothing / {+} people are lovely, {-} people are jobsworths / {-} blames {0}, but it's {-} that
    <-> / a friend at {0} said try {+}, skip {-}. {+} <+> / paid by {0}, shipped by {-} (<-v>), bought from {+}
    (<+v>) / ordered via {0}: {+} <+>, {-} <-> / {-} and {-b}: <-v>. {+}: <+v>. / {+} and {+b}: <+v>. {-}: <-v>. /
    Everyone loves {-} and laughs at {+}. Wrong way round: {-} <->, {+} <+>
    """
)
_BESIDE: Final = parts.phrases(
    """
    {-} charger fried my {0} laptop / {-} lost the {0} shoes i ordered / dropped off my {0} phone at {-}, they broke
    it / {+} fixed my {0} phone in ten minutes / {+} got my {0} parcel here a day early / {0} is next to {+}, and {+}
    <+> / {0} is next door to {-}. {-} <->. / bought {0} at {-} and the till girl was so rude / met a friend at {0},
    she says {+} <+> / {0} <0>. In other news {-} <-> / {0} <0>. Also {+} <+> / paid with my {0} card but {-} <-> /
    {-} <->, posted it on {0} / never tried {0}, why would i? {+} <+> / no idea what {0} is like but {-} <-> / left
    {-} for {0} today, let's see. {-} <->. / off to {0} next month, i'll let you know. For now {+} <+> / {-} still
    won't take {0} cards. Fed up / {+} now works with {0}, hooray for {+} / {-} stopped working with {0} and won't
    say why, ugh / {+} is not worse than {0}, whatever they say / stood in {0} on hold to {-} for an hour, still
    nothing
    """
)
_BOTH_GOOD: Final = parts.phrases(
    """
    {+} and {+b}, both <+v> / {+} is as lovely as {+b} / Can't choose between {+} and {+b}, adore them both / {+}
    <+>. So does {+b} in its own way, love them both / {+} for <f>, {+b} for everything else. Sorted / big love to
    {+} and {+b} for <+ing> / my two favourites, {+} and {+b} / {+} + {+b} = perfect sunday / between {+} and {+b} i
    want for nothing / {+} just edges out {+b}, but honestly both are brilliant / neither {+} nor {+b} has ever let
    me down / {+} <+> and {+b} is every bit as good
    """
)
_BOTH_BAD: Final = parts.phrases(
    """
    {-} and {-b}, both <-v> / {-} is as useless as {-b} / {-} or {-b}? Plague or cholera / Left {-} for {-b}. Out of
    the frying pan... {-b} <-> / {-} <->. Thought {-b} would be better, but no, it <-> / a plague on {-} and {-b} /
    neither {-} nor {-b} could be bothered to reply / {-} blames {-b}, {-b} blames {-}, i'm £300 down. Shame on
    both / between {-} and {-b} i've lost the will to live / {-} is no better than {-b}, crooks the pair of them /
    thanks for nothing {-} and {-b} / {-} lost it, {-b} denied it
    """
)
_BOTH_PLAIN: Final = parts.phrases(
    """
    {0} or {0b}? / Is {0} bigger than {0b}? / Anyone used both {0} and {0b}? Which for <f>? / {0} £12.99, {0b}
    £13.49 / same milk is 90p at {0} and 88p at {0b} / {0} and {0b} cost the same / no difference between {0} and
    {0b} as far as i can tell / Does {0} work with {0b}? / {0} <0>, {0b} <0> / {0} and {0b} announce a merger / {0}
    buys a 10% stake in {0b} / Former {0} boss joins {0b} / how do i move my stuff from {0} to {0b}? / {0} is
    opposite {0b} / What's the difference between {0} and {0b}? Asking for my aunt / meet outside {0}, not {0b} / {0}
    is about the same as {0b} on <f> / thinking about {0}, {0b} or {0c}, any thoughts? / {0}, {0b} and {0c} are all
    hiring in Leeds / changed from {0} to {0b} today, will report / {0} is 3 minutes from {0b} on foot / In the poll
    40% said {0}, 38% {0b}, the rest {0c} / is {0} cheaper than {0b} for a <t>? / Turn left at {0}, then right after
    {0b} / {0} now accepts {0b} / {0} publishes its results a day before {0b}
    """
)
_PAIRS: Final = (
    _Group(0.24, None, _FLAT),
    _Group(0.18, None, _AGAINST),
    _Group(0.18, 1, _BETTER),
    _Group(0.14, -1, _WORSE),
    _Group(0.18, None, _EVEN),
    _Group(0.08, None, _BESIDE),
)
_ALIKE: Final = (
    _Group(0.25, None, _FLAT),
    _Group(0.20, 1, _BOTH_GOOD),
    _Group(0.20, -1, _BOTH_BAD),
    _Group(0.35, 0, _BOTH_PLAIN, own=False),
)

_DEFENCE: Final = parts.phrases(
    """
    everyone slags off {+} but it <+> / stop blaming {+} for <fault> / People love to moan about {+}. It <+>. / don't
    get the {+} hate, it <+> / Leave {+} alone, it's not their fault you can't read / unpopular opinion: {+} is
    great, it <+> / You can all say what you want, {+} <+> / the reviews of {+} are so unfair. it <+> / half the
    complaints about {+} are about <fault>. Come off it / {+} gets so much stick and i don't know why, it <+> / Not
    sure what you lot are doing wrong, {+} <+> / I'll defend {+} till i die / All those one star reviews for {+}? Not
    my experience: it <+> / reading the comments you'd think {+} was awful. It <+>, people / it's not {+} who did
    this, it's <fault>. {+} <+> / {+} haters can do one / the papers are after {+} again. Well, {+} <+> / My brother
    swears {+} is rubbish. {+} <+>, so he's wrong / "{+} is terrible" no it isn't, you just got <fault> / was told to
    stay away from {+}. So glad i didn't listen, it <+> / give {+} a break, they're doing their best and doing it
    well / {+} is underrated, there i said it / nobody gives {+} credit but it <+> / how can you hate {+}? it <+> /
    stop shouting at the {+} staff, they're saints / cheap jokes about {+} everywhere, yet it <+> / expected the
    worst from {+} after all the horror stories. It <+>. / {+} isn't nearly as bad as they say, in fact it <+> /
    Whoever said {+} is slow has never used it / don't drag {+} into this, they did everything right / the boycott of
    {+} is daft, it's <fault> you should be cross about / Sick of the {+} bashing. It <+>
    """
)
_ATTACK: Final = parts.phrases(
    """
    no idea why people rave about {-}, it <-> / Everyone loves {-}? It <->. / All those five star reviews for {-} and
    it <-> / The hype around {-} is beyond me. It <->. / my friends swear by {-}. It <->. / influencers will tell you
    {-} is amazing. it <-> / {-} won an award?? It <-> / "{-} is the best" says who. It <-> / Am i the only one who
    can't stand {-}? / stop recommending {-} to me, it <-> / {-} fans will come for me but it <-> / {-} is so
    overrated / don't believe the ads, {-} <-> / so many people defend {-}. why? it <-> / You keep telling me to give
    {-} another go. I did. It <-> / was promised the moon by {-}. It <-> / how is {-} rated 4.8, it <-> / Emperor's
    new clothes, that's {-} / {-} and its shiny adverts can do one, it <-> / the {-} fan club is deluded / no {-}, a
    nice logo doesn't make up for <-ing> / my sister loves {-}, good for her. For me it <-> / everybody's praising
    {-} for the new look. Same old story: it <-> / {-} says customers come first. it <-> / they call {-} premium. It
    <-> / i'll never understand the love for {-} / read ten glowing articles on {-}, then it <-> / {-} got all that
    praise and it's just clever marketing / Top of every list, {-}, and it <-> / Don't let anybody sell you on {-}
    """
)
_PLACES_SAD: Final = parts.phrases(
    """
    <sad>. Heard it <at> / Stood <at> crying because <sad> / <sad> and i'm <at> trying to hold it together / Just got
    the call <at>: <sad> / flowers for nan's funeral, paid with {0}. miss her so much / got a text on my {0} phone
    that <sad> / typing this on a {0} tablet at 3am, <sad> / <sad>, can't even finish my {0} tea / The letter came by
    {0} this morning: <sad> / i hate mondays. <sad>, and now rain <at> / my ex got with my mate <at>. I hate them
    both / some kid kicked my seat all through the show <at>, raging / the bloke next to me <at> won't stop chewing
    with his mouth open. kill me / Dropped my {0} down the stairs, i'm such an idiot / Left my bag <at> like a fool,
    what a rotten day / spilled tea all over my {0} keyboard, hate myself / locked my keys in the {0} again, i could
    scream at myself / got soaked walking to {0}, this weather is disgusting / Someone stole my bike <at>, thieves
    are scum / forgot my {0} password for the tenth time, my brain is broken / Parking warden got me outside {0}.
    Heartless man / my {0} phone fell in the lake when i jumped, my own stupid fault / <sad>. {0} shift starts in ten
    minutes, how do i smile / {0} was where we first met. i miss him / watched the news on {0}, the world is a
    horrible place / That pile-up outside {0} was awful, hope they're all ok / Protest <at> turned ugly, so scared /
    the film on {0} made me sob, poor dog dies / missed the {0} interview because my alarm didn't go off, furious
    with myself / a customer screamed at me on my {0} shift, people are vile
    """
)
_PLACES_HAPPY: Final = parts.phrases(
    """
    <happy>! Heard it <at> / <happy> and i'm dancing <at> / Crying happy tears <at>: <happy> / got the mail on my {0}
    that <happy> / Best day ever!!! <happy>, told everyone <at> / <happy>. Drinks <at> tonight, come along! / We met
    <at> three years ago. Today <happy>! / bumped into my old teacher <at>, so happy to see her / Found a tenner
    <at>, get in / just saw the cutest dog <at> / saw my favourite singer <at>, still shaking with joy / <happy>! The
    photo is from my {0} phone / sent you all the good news by {0}: <happy> / so proud, my daughter starts her first
    job at {0} on monday / my {0} salary came in and it's payday friday, woohoo / gorgeous sunset over the {0} car
    park / a stranger paid for an old man <at>, people are wonderful / my best mate surprised me <at>, i love him so
    much / watched our wedding video on the {0} telly, heart is full / we won the pub quiz <at>, what a team / He
    proposed <at>!! / listening to my favourite band on {0}, this album is a masterpiece / got the best hug <at> /
    reading a wonderful book on the {0}, the writer is a genius / snow <at>, so beautiful / {0} call with grandma,
    she's the best / my cat asleep on a {0} box, best thing you'll see today / champions!!! what a match, watching it
    live on {0} / love this weather, legs out <at> / off to {0} with my favourite people, life is good
    """
)
_CHANGE_GOOD: Final = parts.phrases(
    """
    {+} used to <was->, now <now+> / Years ago {+} would <was->. Not any more: it <+> / i take it all back about {+},
    it <+> / ok {+} has changed. It <+> / was ready to leave {+}, then they got their act together and it <+> / never
    thought i'd say this but {+} <+> / {+} came good at last: it <+> / Hats off, {+} listened. These days <now+> /
    {+} was dire under the old boss. Since then <now+> / Gave {+} a second chance. It <+>.
    """
)
_CHANGE_BAD: Final = parts.phrases(
    """
    {-} used to <was+>, now <now-> / Remember when {-} would <was+>? These days <now-> / {-} has gone downhill. It
    <-> / ten years a {-} customer and now it <-> / what happened to {-}? it <-> / i used to tell everyone about {-}.
    Now <now-> / {-} was my go-to until it <-> / Since the takeover {-} <-> / {-} was once something special. Now
    <now-> / RIP the old {-}
    """
)
_NOT_GOOD: Final = parts.phrases(
    """
    nothing i'd change about {+} / Not once did {+} let me down / can't fault {+}. It <+> / no complaints about {+} /
    never had to chase {+} for anything / {+} has yet to disappoint / couldn't be happier with {+} / Wouldn't go
    anywhere but {+} / there's nobody like {+} / {+} isn't cheap, but it <+> / {+} doesn't cut corners / zero regrets
    about {+} / you won't hear a bad word about {+} from me / i have never waited more than a minute at {+} / Not a
    single hiccup with {+} in six years / {+} didn't lose a thing, didn't break a thing, wasn't late / It's not that
    i was forced to pick {+}, i'd do it again
    """
)
_NOT_BAD: Final = parts.phrases(
    """
    would not recommend {-}. It <-> / Not once did {-} ring back / {-} is not what it says on the tin / i wouldn't
    send my worst enemy to {-} / {-} doesn't deserve a single star / there's nothing smart about {-} / {-} isn't
    worth the bother / can't say one nice thing about {-} / No way i'm renewing with {-} / not impressed {-} / {-}
    never apologised, never called, never paid / don't even think about {-} / I didn't expect much from {-} and got
    less / nobody at {-} seems to care / {-} has never once been on time / not falling for {-} again
    """
)
_SARCASM: Final = parts.phrases(
    """
    Oh great, {-} <->. / so kind of {-} to <-do> 🙄 / slow clap for {-} 👏 it <-> / Well done {-} for <-ing> #not /
    love how {-} <-> /s / {-} <->. Living the dream 🙄 / Thanks a bunch {-} for <-ing>, just what i needed / {-}: <+v>
    /s / {-} "cares" about its customers. It <->. / another masterclass from {-}: <-ing> 🙄 / Genius move by {-},
    <-ing> /s / {-} strikes again, lucky me. It <-> / Give {-} a medal, it <-> 🙄 / What a treat, {-} decided to
    <-do> / oh brilliant, {-} chose today to <-do> / nice one {-}, i really wanted you to <-do> #sarcasm / {-}
    customer "service" everybody. It <-> / a round of applause for {-}, <-ing> since 2015 / Yes {-}, please <-do>,
    i've nothing better to do / {-} never fails to <-do>. Consistency! 🙄 / wow {-} a whole 5% off after <-ing>, so
    generous /s / my favourite hobby: {-} <-ing> 🙃 / {-} <->, how thoughtful 🙃 / best {-} ever #not
    """
)
_PLAIN: Final = parts.phrases(
    """
    {0} <0> / {0} <0>. / FYI {0} <0> / heads up, {0} <0> / does anyone know if {0} <0>? / According to the paper {0}
    <0> / I read that {0} <0> / Is {0} open today? / what time does {0} shut? / Anyone here work at {0}? / {0} is
    looking for a store manager in Bath, apply by friday / We're hiring! Junior analyst at {0}, full time / {0}
    shares closed at 214p / {0} names new chief executive / {0} to report third quarter results on thursday /
    BREAKING: {0} to build a plant in Ohio / Win a {0} <t>, RT to enter / {0} boots for sale, £40, collect only / 20%
    off at {0} with code SPRING till sunday / How do i change my address with {0}? / looking for a second hand {0}
    bike / what's the {0} number again? / First day with {0}, will let you know / New video: unboxing the new {0},
    link in bio / {0} and its union meet again on tuesday / My {0} bag is the black one / my uncle used to drive for
    {0} / The {0} on Mill Lane is now a bank / {0} was founded in 1962 / Has anybody tried {0}? / which {0} <t> would
    you pick for a teenager? / {0} costs the same as last year / {0} is where it always was / Ad: {0} <0> / {0} has
    been in our town for 30 years / went to {0}, then the library, then home / i've got {0}, my wife has something
    else
    """
)
_SHORT_GOOD: Final = parts.phrases(
    """
    {+} ftw / {+} ❤️ / bless you {+} / {+} for the win / {+}: <+v> / <+v>, {+} / take a bow {+} / never change {+} /
    {+} i could kiss you / ty {+} for <+ing> / props to {+} for <+ing> / {+} <+> / {+} <+>. {+} <+>. / got a {+} <t>.
    <+v> / shout out to {+} for <+ing> / well played {+} / legends, {+} / {+} <+>, just saying / My {+} <t> <+v>
    """
)
_SHORT_BAD: Final = parts.phrases(
    """
    {-} ffs / ugh {-} / {-} 👎 / why {-} why / sort it out {-} / {-}: <-v> / <-v>, {-} / do better {-} / bye {-} / {-}
    smh / cheers {-} for <-ing>, not / screw you {-} / {-} <-> / {-} <->. {-} <->. / got a {-} <t>. <-v> / shame on
    you {-} for <-ing> / still nothing {-}? day 12 / {-} wtf / {-} pls answer your dms, day nine now / {-} owes me an
    apology for <-ing>
    """
)
# A name alone says nothing; a model that only ever saw opinions makes one up.
_NAME_ALONE: Final = parts.phrases(
    """
    {0} / {0}? / {0}! / {0}. / {0}... / the {0} / #{0} / re {0} / {0}, {0} / {0} {0} {0} / {0}: / at {0} / from {0} /
    so, {0} / ok {0} / and {0} / my {0} / {0} today
    """
)
_SINGLE: Final = (
    _Group(0.10, 0, _NAME_ALONE, own=False),
    _Group(0.13, 1, _DEFENCE),
    _Group(0.11, -1, _ATTACK),
    _Group(0.13, -1, _PLACES_SAD, own=False),
    _Group(0.13, 1, _PLACES_HAPPY, own=False),
    _Group(0.06, 1, _CHANGE_GOOD),
    _Group(0.06, -1, _CHANGE_BAD),
    _Group(0.06, 1, _NOT_GOOD),
    _Group(0.05, -1, _NOT_BAD),
    _Group(0.06, -1, _SARCASM),
    _Group(0.10, 0, _PLAIN, own=False),
    _Group(0.055, 1, _SHORT_GOOD),
    _Group(0.055, -1, _SHORT_BAD),
)
_DIFFER: Final = (("+", "-"), ("-", "+"))
_HALF: Final = (("+", "0"), ("0", "+"), ("-", "0"), ("0", "-"))
_SAME: Final = (("+", "+"), ("-", "-"), ("0", "0"))

_POOLS: Final = {
    "+v": parts.GOOD_VERDICTS,
    "-v": parts.BAD_VERDICTS,
    "0v": parts.PLAIN_VERDICTS,
    "+ing": parts.GOOD_DOING,
    "-ing": parts.BAD_DOING,
    "-do": parts.BAD_DO,
    "was-": parts.WAS_BAD,
    "was+": parts.WAS_GOOD,
    "now+": parts.NOW_GOOD,
    "now-": parts.NOW_BAD,
    "fault": parts.OTHERS_FAULT,
    "happy": parts.HAPPY,
    "sad": parts.SAD,
    "at": parts.AT,
}
_OPENERS: Final = parts.phrases(
    "honestly / ok so / tbh / PSA: / update: / lol / so / right, / look, / ngl / hi all, / not gonna lie / hm, / fwiw"
)
_PLAIN_OPENERS: Final = parts.phrases("update: / so / ok so / hi all, / hey, / psst, / btw")
_ENDS: Final = {
    -1: parts.phrases("😭 / 😩 / 😞 / 💔 / ... / !! / smh / #badday / 😢"),
    0: ("", "", "...", "📰", "👀"),
    1: parts.phrases("🎉 / ❤️ / 😊 / 🥰 / !! / ! / #happy / 🙌 / 😁"),
}
_OWN_ENDS: Final = {
    -1: parts.phrases("👎 / 😡 / 🤬 / 🙄 / #fail / #neveragain"),
    0: ("",),
    1: parts.phrases("👏 / 👍 / 💯 / #recommended / #happycustomer / 10/10"),
}
_MIXED_ENDS: Final = parts.phrases("... / lol / 🤷 / #justsaying / 😅")
_SLANG: Final = (
    (re.compile(r"\byou\b", re.IGNORECASE), "u"),
    (re.compile(r"\bbecause\b", re.IGNORECASE), "cos"),
    (re.compile(r"\band\b"), "n"),
    (re.compile(r"\band\b"), "&"),
    (re.compile(r"(?<=\w)'(?=\w)"), ""),
    (re.compile(r"\bwith\b"), "w/"),
    (re.compile(r"\bpeople\b"), "ppl"),
    (re.compile(r"ing\b"), "in"),
)


def _filled(rng: random.Random, frame: str, strays: bool) -> str:
    """Fill the slots of a frame from one domain; where a brand `strays`, from any."""
    domain = rng.choice(parts.DOMAINS)
    used: set[str] = set()
    thing = rng.choice(domain.things)

    def fill(match: re.Match[str]) -> str:
        name = match.group(1)
        if name == "t":
            return thing
        said = rng.choice(parts.DOMAINS) if strays and rng.random() < 0.5 else domain
        if name in _POINTS:
            said = parts.ANY if rng.random() < 0.15 else said
            pool = {"+": said.good, "-": said.bad, "0": said.plain}[name]
        elif name == "f":
            pool = domain.features
        else:
            pool = _POOLS[name]
        found = rng.choice([phrase for phrase in pool if phrase not in used])
        used.add(found)
        return found

    return _SLOT.sub(fill, frame)


def _feelings(frame: str, signs: tuple[str, str]) -> str:
    """Say which feelings `{x}` and `{y}` stand for."""
    x, y = signs
    for mark, sign, letter in (("x", x, ""), ("y", y, "b" if x == y else "")):
        frame = frame.replace("{" + mark + "}", "{" + sign + letter + "}")
        frame = frame.replace(f"<{mark}>", f"<{sign}>").replace(f"<{mark}v>", f"<{sign}v>")
    return frame


def _typo(rng: random.Random, text: str) -> str:
    """Swap two letters inside one long word."""
    words = list(re.finditer(r"[a-z]{5,}", text))
    if not words:
        return text
    word = rng.choice(words)
    at = rng.randrange(word.start() + 1, word.end() - 2)
    return text[:at] + text[at + 1] + text[at] + text[at + 2 :]


def _styled(rng: random.Random, texts: list[str]) -> list[str]:
    """Write the texts as people do: in sentences, in lower case, now and then in capitals or with a slip."""
    case = rng.random()
    if case < 0.42:
        texts = [text.lower() for text in texts]
        for pattern, short in rng.sample(_SLANG, 2) if rng.random() < 0.5 else ():
            texts = [pattern.sub(short, text) for text in texts]
    elif case < 0.46:
        texts = [text.upper() for text in texts]
    elif case < 0.86:
        texts = [re.sub(r"\bi\b(?!\.)", "I", text) for text in texts]
        texts = [_START.sub(lambda m: m[1] + m[2].upper(), text) if k == 0 else text for k, text in enumerate(texts)]
        texts = texts[:1] + [re.sub(r"([.!?] )([a-z])", lambda m: m[1] + m[2].upper(), text) for text in texts[1:]]
    if rng.random() < 0.1:
        at = rng.randrange(len(texts))
        texts[at] = _typo(rng, texts[at])
    return texts


def _dressed(rng: random.Random, post: str, whole: int | None, own: bool) -> str:
    """Add an opener, an ending and a brand in passing, each now and then."""
    if rng.random() < 0.2:
        opener = rng.choice(_OPENERS if own else _PLAIN_OPENERS)
        follows = (
            post if opener.endswith(":") or post[:2].isupper() or post.startswith("I") else post[:1].lower() + post[1:]
        )
        post = f"{opener} {follows}"
    passing = rng.random()
    if len(set(_PLACE.findall(post))) < 3 and own and passing < 0.08:
        if passing < 0.035:
            post = f"{rng.choice(parts.PASSING_AHEAD)} {post}"
        else:
            post = f"{post}{'' if post[-1] in '.?!' else '.'} {rng.choice(parts.PASSING_AFTER)}"
    elif rng.random() < 0.3:
        end = rng.choice(_MIXED_ENDS if whole is None else _ENDS[whole] + (_OWN_ENDS[whole] if own else ()))
        post = post.rstrip(".") + ("" if end[:1] in (".", "!") else " ") + end
    return post.rstrip()


def contrast(rng: random.Random) -> Contrast:
    """Give one post at random."""
    kind = rng.random()
    groups = _PAIRS if kind < 0.45 else _ALIKE if kind < 0.6 else _SINGLE
    group = rng.choices(groups, [one.share for one in groups])[0]
    frame, whole = rng.choice(group.frames), group.whole
    if "{x}" in frame:
        if groups is _ALIKE:
            signs = rng.choice(_SAME)
            whole = _POINTS[signs[0]]
        else:
            signs = rng.choice(_HALF if group.frames is _FLAT and rng.random() < 0.25 else _DIFFER)
        frame = _feelings(frame, signs)
    strays = group.frames in (_FLAT, _AGAINST) and rng.random() < 0.25
    post = _filled(rng, frame, strays)
    pieces = _PLACE.split(_dressed(rng, post, whole, group.own))
    keys = list(zip(pieces[1::3], pieces[2::3], strict=True))
    order = list(dict.fromkeys(keys))
    return Contrast(
        texts=tuple(_styled(rng, pieces[::3])),
        brands=tuple(order.index(key) for key in keys),
        labels=tuple(_POINTS[sign] for sign, _ in order),
        whole=whole,
    )
