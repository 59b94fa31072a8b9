"""What `enrich.contrasts` builds its posts from: things said of a brand, by domain, and the frames that hold them.

Phrases stand apart by ` / `. A predicate follows a brand's name as its subject; most of them tell a fact that is good
or bad for the customer and leave the feeling to the reader. Written for this project, without sight of the behavioural
set (`bench/behaviour.tsv`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


def phrases(text: str) -> tuple[str, ...]:
    """Cut a block of phrases into its phrases."""
    return tuple(" ".join(text.split()).split(" / "))


@dataclass(frozen=True, slots=True)
class Domain:
    """A line of business: countable `things`, `features`, and what is said of a brand: `good`, `bad` or `plain`."""

    things: tuple[str, ...]
    features: tuple[str, ...]
    good: tuple[str, ...]
    bad: tuple[str, ...]
    plain: tuple[str, ...]


def _domain(things: str, features: str, good: str, bad: str, plain: str) -> Domain:
    return Domain(phrases(things), phrases(features), phrases(good), phrases(bad), phrases(plain))


DOMAINS: Final = (
    _domain(
        "phone / laptop / tablet / smartwatch",
        "battery life / the camera / the screen / call quality",
        """
        lasts me two full days on one charge / survived a drop down three flights of stairs / still gets updates on
        my five year old handset / takes pictures in the dark i could frame / replaced the screen free, no
        questions / starts up before i've sat down / hasn't slowed down one bit since 2019 / charges to full while i
        shower / still holds 96% battery health after 3 yrs / copied over my old contacts in a minute flat
        """,
        """
        dies at 40% every single day / gets hot enough to fry an egg / bricked itself after the update / wants $300
        to swap a battery / cracked in my pocket, wasn't even sitting on it / stopped charging on day 31 of a 30 day
        warranty / freezes whenever someone rings / drops every call past the kitchen / takes photos like it's 1998 /
        slowed to a crawl the week the new model came out
        """,
        """
        comes in blue and grey / has a 6.1 inch screen / switched to usb-c this year / unveils the new model in
        september / ships with a cable in the box
        """,
    ),
    _domain(
        "account / card / current account / mortgage",
        "the app / fraud checks / savings rates / phone support",
        """
        spotted the fraud before i did / put the stolen money back the same night / opened my account in five minutes
        from the sofa / waived the overdraft fee without me asking / texts me the second money leaves / got our
        mortgage through in nine days / kept our village branch open / rang to ask if that payment was really me /
        refunded every penny of the scam / pays 5% while i sleep
        """,
        """
        froze my card on holiday and closed the chat / charged me £25 for being 12p over / keeps asking for documents
        i sent twice / shut the last branch in town / lost my wages for four days / locked me out on rent day /
        declined my card in front of the whole queue / let a scammer empty my nan's savings / took seven weeks to
        close a dead man's account / hung up on me after 50 minutes on hold
        """,
        """
        has a branch on the high street / changed its sort code format / is closed on bank holidays / sends
        statements on the 3rd / raised its base rate in line with the central bank
        """,
    ),
    _domain(
        "policy / claim / quote",
        "claims handling / the renewal price / breakdown cover",
        """
        paid out in two days / sent a courtesy car within the hour / covered the vet bill down to the last cent /
        sorted the burst pipe claim before the carpet dried / didn't argue over a single receipt / dropped my premium
        after a year with no claims / had a plumber round by lunchtime / read the whole form to my dad over the
        phone / settled the write-off for more than we paid
        """,
        """
        rejected my claim over a typo / put my renewal up 60% with no claims / wants a receipt for a wedding ring
        from 1974 / has been "reviewing" our flood for eleven months / found a clause, they always find a clause /
        sent an assessor who never got out of his car / cancelled the policy by post, to my old address / offered
        £200 for a car worth three grand / says storms aren't weather
        """,
        """
        needs your postcode and date of birth for a quote / sends renewals out three weeks ahead / has moved its
        office to Leeds / covers drivers from 21 to 80
        """,
    ),
    _domain(
        "flight / ticket / booking",
        "legroom / baggage / check-in / the seats",
        """
        landed twenty minutes early / found us seats together without charging / rebooked me before i'd even heard
        about the strike / held the gate for my connection / brought my bag to the hotel that same evening / upgraded
        my mum on her 70th / served an actual hot meal on a one hour hop / let the kids see the cockpit / refunded
        the cancelled leg overnight
        """,
        """
        left us on the tarmac for four hours, no water / lost my suitcase twice in one trip / cancelled by text at
        3am / charged £55 to print a boarding pass / bumped us off a flight we paid for in january / seated my 4 yr
        old nine rows away / sent my bag to Oslo, i was in Porto / still owes me for a flight from last spring /
        snapped the wheel off my pushchair and filed it as wear and tear
        """,
        """
        flies to Lisbon on tuesdays and fridays / boards from gate 14 / moves to terminal 2 in march / allows one
        cabin bag up to 10 kilos
        """,
    ),
    _domain(
        "train / bus pass / season ticket / service",
        "punctuality / legroom / the toilets / ticket prices",
        """
        got me home through the snow when nothing else moved / runs every six minutes, even on sundays / has been on
        time every day since october / put on extra carriages for the match / refunded my delay before i'd reached
        the platform / has a plug at every seat and they all work / waited for the old lady to sit down / handed in
        my wallet with the cash still in it
        """,
        """
        cancelled the 7.42 for the third time this week / crammed 400 of us into two carriages / ran a bus that drove
        straight past us / left us in a field outside Crewe for two hours / charges £90 to stand by a toilet / fined
        my gran for sitting in the wrong coach / hasn't had working heating since november / took off the last
        service home so that's a £40 cab / announced the platform as the doors closed
        """,
        """
        goes from platform 4 at weekends / stops at the hospital and the library / publishes the winter timetable on
        monday / runs between Bristol and Bath
        """,
    ),
    _domain(
        "burger / pizza / curry / takeaway",
        "portions / the chips / delivery times / the sauces",
        """
        fed six of us for under thirty quid / threw in extra dumplings because we waited / still makes the dough by
        hand / remembered my nut allergy from last year / had plates licked clean, even my fussy one / turned up
        steaming hot in a blizzard / gives you a portion two people can't finish / remade the order without a fuss
        """,
        """
        sent a cold pizza with a bite out of it / gave half the table food poisoning / forgot the rice again / served
        chicken pink in the middle / put peanuts in it after i said allergy three times / shrank the burger and
        raised the price / took two hours and came without the mains / has a hair policy: one in every dish / charged
        us a service fee for collecting it ourselves
        """,
        """
        does takeaway from five till ten / has added a vegan wrap to the menu / takes bookings for up to eight / is
        next to the cinema
        """,
    ),
    _domain(
        "latte / flat white / breakfast / sandwich",
        "the coffee / cakes / the seating / the queue",
        """
        knows my order before i open my mouth / lets you sit for hours over one tea / still toasts the bread
        properly / gave the homeless guy outside a free soup / has a corner sofa i could live on / pours a flat white
        like they do in melbourne / kept my umbrella behind the counter for a week / warms the milk for the baby
        unasked
        """,
        """
        spelled my name wrong and got the order wrong too / serves dishwater for £4.80 / burned the milk, again /
        charges extra for a cup that leaks / hid every plug socket so nobody stays / took twenty minutes over a black
        coffee / had a fly in the muffin, with company / threw us out with half our tea left
        """,
        """
        opens at nine on Sundays / closes at four in winter / sells beans by the kilo / is on the corner by the post
        office
        """,
    ),
    _domain(
        "shop / meal deal / delivery slot / loaf",
        "fruit and veg / prices / the bakery / own-brand stuff",
        """
        sends berries that last past wednesday / gave me double back on a dented tin / always has a till open /
        halved my weekly shop / carried mum's bags right to the kitchen / swapped the missing cheese for a nicer
        one / stocks the oat milk nobody else has / lets my toddler have a free banana
        """,
        """
        swapped my salmon for cat food / sells bread that's green by tuesday / has one till open and a queue to the
        door / put the price of butter up twice this month / delivered ice cream as soup / charged me for a melon i
        never had / sold me chicken a week past its date / cleared the aisle of everything i actually eat / turned up
        at 10pm for a 2pm slot with half the shop missing
        """,
        """
        moved the eggs to aisle seven / is open till ten tonight / takes cash and card / sells stamps at the kiosk /
        shuts early on christmas eve
        """,
    ),
    _domain(
        "jumper / coat / shirt / dress",
        "sizing / the stitching / returns / the fabric",
        """
        makes coats my kids hand down twice / put pockets in a dress, real ones / mended my zip for nothing, 8 years
        on / came through forty washes the same colour / fits like it was cut on me / took it back without the tag /
        had three strangers ask me where i got it / keeps me warm at minus ten
        """,
        """
        fell apart in the rain / shrank to doll size at 30 degrees / dyed my whole wash pink / lost two buttons
        before i left the house / thinks a 12 is a 6 / itches like a bag of nettles / went bobbly after one wear /
        refused the return because the bag was open / sent two left sleeves, i wish i was joking
        """,
        """
        has brought back corduroy this autumn / lists sizes in european numbers / starts its winter range in
        october / makes shirts in linen and cotton
        """,
    ),
    _domain(
        "pair of boots / pair of trainers / rucksack / tent",
        "grip / the soles / waterproofing / width",
        """
        still dry after three hours in a bog / walked me from coast to coast without a blister / resoled my boots for
        the price of lunch / has 900 miles on it and no holes / makes a wide fit that is actually wide / kept us dry
        through a night of hail / still runs after six winters / honoured the lifetime guarantee, no receipt
        """,
        """
        gave me blisters the size of coins / split along the sole in a month / leaks like a sieve in drizzle /
        squeaks so loud the dog barks at me / lost its grip on wet leaves and i lost a tooth / has laces that snap if
        you look at them / ripped on the first hill / rubbed my heel raw by the bus stop
        """,
        """
        comes in half sizes / makes a men's and a women's version / weighs 1.2 kilos per pair / has a store in the
        outlet village
        """,
    ),
    _domain(
        "app / subscription / licence / account",
        "search / syncing / the interface / exports",
        """
        saved my thesis when the laptop died / just syncs and i never think about it / fixed the bug i reported that
        same afternoon / cut my invoicing from a day to ten minutes / hasn't crashed once in two years / exports
        everything in one click / lets me work offline on the train / opens a 2gb file without blinking
        """,
        """
        ate three hours of my work / moved every button again / hides the cancel button six menus deep / wants a
        subscription for what used to be free / crashes whenever i hit save / logs me out mid sentence / leaked my
        email to half the internet / ships updates that break printing / syncs nothing, duplicates everything
        """,
        """
        runs on mac and linux / stores files in pdf / is at version 8.2 now / asks for a login at start / has renamed
        the sidebar
        """,
    ),
    _domain(
        "game / console / controller / season pass",
        "matchmaking / graphics / load times / the story",
        """
        had me up till 4am and i regret nothing / runs at 120 fps on my ancient rig / gave the expansion away for
        free / got my dad gaming at 68 / has servers that stay up on launch night / made me cry at the ending, in a
        good way / loads before i can sit down / listens to the players and rolls things back
        """,
        """
        wiped my save, 90 hours gone / sells the ending as dlc / queues me for an hour then kicks me / launched
        unfinished for seventy quid / banned me for being good / stutters in every cutscene / locks the fun bits
        behind loot boxes / drifts to the left after a month / shut down the servers a year in
        """,
        """
        comes out on the 14th / takes up 80 gigs / has twelve maps and four classes / starts its new season on
        thursday
        """,
    ),
    _domain(
        "parcel / delivery / package",
        "tracking / delivery windows / the drivers / collection points",
        """
        turned up an hour before it said it would / hid the box from the rain and sent a photo / brought it up five
        floors without moaning / got my passport there with a day to spare / found me at the neighbour's bbq to hand
        it over / delivered on christmas eve, smiling / shows the van on a live map, to the minute / carried it round
        the back cause of the dog
        """,
        """
        threw my parcel over the fence into the pond / says it was delivered, to whom? / left it on the bin on bin
        day / has ignored four emails / sent my package to Hull and back, twice / marked me not home while i stood at
        the door / delivered a box of broken glass that used to be a lamp / charges £12 to give me my own parcel /
        turned up a week after the birthday / keeps saying "out for delivery" since monday
        """,
        """
        delivers between 9 and 1 / uses lockers at the station now / collects from the depot at six / scans parcels
        in at Daventry
        """,
    ),
    _domain(
        "room / stay / hotel / booking",
        "breakfast / the beds / cleanliness / check-in",
        """
        left a birthday cake in our room / let us check in at 9am, no charge / has beds i'd steal if i could / posted
        my kid's teddy back to us for free / gave us the sea view because it was empty anyway / had fresh towels up
        in two minutes / serves breakfast till noon / upgraded us when the lift broke
        """,
        """
        had someone else's hair in the bath / gave our room away at midnight / has walls so thin i know their names
        now / charged £20 to park outside my own window / served powdered egg at ten and nothing after / smelled of
        damp and old chips / put us above the nightclub and lost the earplugs / took the deposit and never gave it
        back / had bedbugs, i have the bites to prove it
        """,
        """
        has 140 rooms over six floors / does check in from three / is five minutes from the station / has reopened
        the east wing
        """,
    ),
    _domain(
        "membership / gym / class / plan",
        "the showers / opening hours / equipment / classes",
        """
        let me pause when i broke my leg / cleans the machines while you're still towelling / has a squat rack free
        at six pm, imagine / got me from couch to 10k / gave me a free month after the boiler broke / has a trainer
        who remembers my bad knee / never tied me into a contract
        """,
        """
        makes you cancel by letter, in 2024 / took money for 5 months after i left / has two treadmills and both are
        taped off / signs you up in a minute and can't find you when you quit / runs cold showers all winter / packs
        forty people in a spin class for twenty / lets mould grow in the sauna / doubled the fee and cut the pool
        """,
        """
        opens at six on weekdays / has a pool and two studios / is changing its towel policy / needs a photo for the
        card
        """,
    ),
    _domain(
        "bill / tariff / meter / contract",
        "billing / the smart meter / customer service / unit prices",
        """
        paid us £90 back for being in credit / fixed the boiler on boxing day / noticed we overpaid and told us / cut
        our bill by a third / kept the heating on when i lost my job, set up a plan / sends an engineer who wipes his
        feet / switched us over in a weekend, not one form / answered before I'd finished my tea
        """,
        """
        billed me for a flat i left in 2021 / tripled the direct debit without a word / estimates my meter like it's
        a lottery / sent bailiffs for £11 we never owed / left my mum with no heat for six days / sits on £400 of my
        credit / sends a bill, then another for the same month / put me on hold till the line went dead
        """,
        """
        reads the meter every quarter / changes its tariff names in april / supplies gas and electric / needs a
        reading by the 28th
        """,
    ),
    _domain(
        "router / contract / broadband / line",
        "speed / wifi upstairs / the price / installs",
        """
        gives me the full 900 down, even at night / came out on a sunday to fix the line / hasn't dropped once in two
        winters / reaches the shed at the bottom of the garden / kept my old price when i rang / laid fibre to a farm
        in the middle of nowhere / credited the outage before i noticed it
        """,
        """
        drops out whenever it rains / promised 500 and delivers 12 / put the price up mid contract / had us offline
        for nine days / sent an engineer to the wrong county / blamed my walls, then my cat / dies every night at
        eight / wants £200 so i can leave / buffers a text message
        """,
        """
        installs on weekdays only / covers the whole of the county / sends a router in a white box / keeps its
        cabinets in green
        """,
    ),
    _domain(
        "subscription / series / account / playlist",
        "the catalogue / the app / subtitles / the price",
        """
        picks songs i end up loving every monday / finally has every season of it / lets you share with your mum /
        remembers where i stopped, down to the second / has kept the same price four years running / dug up films i'd
        been hunting for since school / never once buffered, even on hotel wifi
        """,
        """
        cancelled my show on a cliffhanger / put adverts in what i pay for / wants more money for fewer films /
        recommends the thing i just turned off / has pixels the size of bricks on game night / kicked my dad off mid
        film / buffers right at the penalty / drops the subtitles out of sync
        """,
        """
        adds the second season on friday / has a kids profile / shows the match on sunday / lists 300 documentaries
        """,
    ),
    _domain(
        "car / van / hatchback / suv",
        "the boot / mileage / servicing / the dashboard",
        """
        started first time at minus twenty / is on 240k miles with the same clutch / fits two dogs and a pram / gave
        me a loan car without asking / does 60 to the gallon loaded / passed its mot for the ninth year running / got
        us out of that crash without a scratch / found the rattle in ten minutes and charged nothing
        """,
        """
        went into limp mode on the motorway / rusted through in four years / spent more time at the garage than on my
        drive / charges a monthly fee for heated seats / left me stranded with two kids in the back / drinks petrol
        like it's free / needs the bumper off to change a bulb / quoted me £900 for a sensor / rattles like a biscuit
        tin
        """,
        """
        has five doors and a manual gearbox / builds the estate in Spain / is due a facelift next year / recommends a
        service every 12k
        """,
    ),
    _domain(
        "toy / puzzle / set / doll",
        "spare parts / the instructions / build quality / safety",
        """
        has been through three kids and still works / posted the missing piece free of charge / kept my twins quiet
        from here to Cornwall / gets played with more than the tablet / survives the bath, the dog and my son / has
        instructions a five year old can follow / makes pieces that still fit the ones from my childhood
        """,
        """
        broke before the wrapping was off the floor / came with a piece missing, on christmas day / needs batteries
        they don't even sell / sheds paint into my daughter's mouth / makes a noise that can't be turned off / fell
        to bits in her hands and she sobbed / looks nothing like the box / pinched my boy's finger till it bled
        """,
        """
        is for ages 3 and up / has 450 pieces / comes with two figures and a horse / needs three AA batteries
        """,
    ),
    _domain(
        "lipstick / moisturiser / shampoo / foundation",
        "the shades / the scent / staying power / packaging",
        """
        cleared my skin up in a fortnight / stays put through a wedding and the crying / finally does my shade /
        never stings, and everything stings me / gets four months out of one bottle / calmed my eczema when the
        steroid cream couldn't / had people asking if i'd been on holiday
        """,
        """
        brought me out in hives / went orange by lunch / smells like a chemistry lab / slid off my face on the bus /
        thinks beige is the only skin tone / burned my eyelids / halved the bottle, same price / made my hair fall
        out in clumps / oxidised before i reached the office
        """,
        """
        comes in thirty shades / sells the refill separately / has a new pump on the bottle / contains shea butter
        """,
    ),
    _domain(
        "sofa / washing machine / vacuum / fridge",
        "noise / assembly / spare parts / energy use",
        """
        still spins quietly after 14 yrs / went together in twenty minutes without a swear word / picks up dog hair
        nothing else could / sent a man on a saturday to fix it / has outlived two house moves and a toddler / sells
        every spare part down to the screws / took away the old one as well / halved what we spend on power
        """,
        """
        flooded the kitchen twice / came with eleven holes and four screws / sags in the middle after a month /
        sounds like a helicopter landing / stopped two days after the warranty did / won't sell me a £3 seal / took
        fourteen weeks to send the wrong colour / trips the fuse whenever it heats / scratched my oak floor to bits
        """,
        """
        measures 180 by 90 / comes flat packed in two boxes / has a delivery team for ground floors / is rated B for
        energy
        """,
    ),
)
ANY: Final = _domain(
    "order / voucher / refund",
    "customer service / value for money / the staff / returns",
    """
    rang me back when they said they would / refunded me before i asked / had a real human on in ten seconds / owned
    up to the mistake and fixed it / has earned a customer for life / replied at midnight on a sunday / went out of
    its way for my disabled brother / sorted it in one call / does exactly what it says / makes me smile every time /
    did more than i dared to ask / is worth every penny
    """,
    """
    double-charged me and shrugged / keeps passing me from desk to desk / replied with a copy-paste, to the wrong
    name / told me it was my own fault / lied to my face about the refund / blocked me for asking / has a bot that
    loops till you give up / won't answer the phone / took the money and went quiet / made my mum cry at the
    counter / is a waste of money / drives me up the wall
    """,
    """
    has a new logo / is hiring in Cardiff / turns fifty this year / has a stand at the fair / put out its yearly
    report / changed its opening hours / is sponsoring the marathon / appointed a new finance chief / has moved to
    Elm Street
    """,
)

GOOD_VERDICTS: Final = phrases(
    """
    spotless and on time / 10/10 / quick, kind, cheap / thumbs up / 👍 / five stars from me / worth it / a joy / zero
    hassle / sorted first time / would go again / no notes / chef's kiss / solid / brilliant / faultless / money well
    spent / class act / top marks / friendly and fast / fair price, no drama / best of the lot / a keeper / absolute
    gem / bang on / spot on / never late / exactly as promised / A+ / ✅ / ❤️ / 9 out of 10 / easy win / smooth as
    butter / cheap and cheerful / works every time / a proper lifesaver / fixed in a day / calm and helpful / yes yes
    yes / buy it / a pleasure from start to finish / quality / built to last / honest people / so so good / took care
    of everything / couldn't ask for more / the real deal / fire 🔥 / goated / slaps / ten times yes / zero
    complaints / full refund in a day / patient with my nan / done before lunch / reliable / lovely staff / big yes /
    chuffed to bits / pure class / 😍 / back for more next week
    """
)
BAD_VERDICTS: Final = phrases(
    """
    late, dirty, overpriced / 👎 / thumbs down / 0/10 / never again / a shambles / rude and slow / one star, too
    generous / broken on arrival / daylight robbery / an hour on hold / no reply, no refund / rubbish / a scam with a
    logo / all hype / a nightmare from start to finish / excuses, excuses / total waste / avoid / bin fire / hard
    pass / trash / mid at best, rip-off at worst / ❌ / 🤮 / two out of ten / falls apart / wrong item, twice / a
    headache / hidden fees everywhere / tears and a bill / three calls, three stories / useless / cheap tat /
    clueless / still waiting / no thanks / garbage / all apologies, no action / a money pit / pathetic / dire /
    couldn't care less / worse every year / arrogant / grubby / nobody home / a con / broke in a week / chaos / a
    joke / slow, smug, pricey / 💩 / 😡 / fuming / never on time / cold, late and wrong / more bugs than features / a
    letdown / a right mess / awful / dodgy / grim / ghosted me / D minus / took my money and ran / no no no
    """
)
PLAIN_VERDICTS: Final = phrases(
    """
    average / haven't tried it / ok, nothing more / middle of the road / 5/10 / no opinion yet / does the job, just /
    no idea, never been / neither here nor there / same as any other / fine i guess / tbc / not in my town /
    undecided
    """
)
GOOD_DOING: Final = phrases(
    """
    picking up on the first ring / getting it here in one day / refunding me in full / staying open late for us /
    finding my lost bag / fixing it on a sunday / being so patient with my dad / keeping prices where they were /
    looking after my kid / explaining it without jargon / sending a replacement the next morning / remembering us /
    waiting for me in the rain / owning the mistake / going the extra mile / making it painless / chasing it up for
    me / knocking off the fee / not treating me like a number / turning my week around / sticking by us all through
    the move
    """
)
BAD_DOING: Final = phrases(
    """
    losing my order / charging me twice / cutting me off after an hour / leaving us stranded / ignoring my emails /
    cancelling last minute / sending the wrong thing again / putting the price up again / hanging up on my mum /
    wasting my whole morning / breaking what wasn't broken / keeping my deposit / making me miss my sister's
    wedding / sending me round in circles / pretending i don't exist / turning up three hours late / "misplacing" my
    refund / ruining the weekend / telling me to check the faq / closing my ticket without reading it / selling me a
    dud
    """
)
BAD_DO: Final = phrases(
    """
    charge me twice / lose my stuff / go quiet for a fortnight / close my complaint without reading it / send the
    wrong size again / cut me off mid sentence / add a fee nobody mentioned / cancel while i'm on my way / break it
    on delivery / forget half the order / blame me for it / make me queue for an hour to be told no / pick rent day
    to go down / raise the price the week after i signed / leave us standing in the rain / put me on hold until my
    phone died
    """
)
WAS_BAD: Final = phrases(
    """
    be a nightmare / ignore me for weeks / take a month over anything / be the worst in town / break all the time /
    drive me mad / be dirty and slow / cost a fortune / lose everything i sent / be a laughing stock / let me down
    weekly / make me want to scream / be late every single day / treat us like dirt / be unusable
    """
)
WAS_GOOD: Final = phrases(
    """
    be the best in town / answer within the hour / be cheap and quick / last for years / be my favourite / be
    spotless / know me by name / be worth the money / be something i recommended to everyone / be a treat / care
    about people / just work / be brilliant / make things that lasted / go the extra mile
    """
)
NOW_GOOD: Final = phrases(
    """
    it's a pleasure / they answer in minutes / it just works / i wouldn't be without it / i send all my friends
    there / it's spotless / not a single problem all year / they've really turned it round / it's the first place i
    go / it's quick, cheap and friendly / i'm properly impressed / it's on time every day
    """
)
NOW_BAD: Final = phrases(
    """
    it's a shambles / nobody picks up / it breaks if you look at it / i dread having to go there / it's all cost
    cutting / you're just a number / it's twice the price for half as much / they couldn't care less / it's filthy /
    i'm done / it's ads and bugs / it's late every day / the quality's gone through the floor
    """
)
OTHERS_FAULT: Final = phrases(
    """
    the weather / your own typo / a strike they have no say in / what your landlord did / the council's roadworks / a
    law the government passed / you not reading the label / your ex's mess / traffic / the wrong address you typed
    in / a power cut / your dog eating it / customs being slow / something a thief did / your dodgy wiring
    """
)
HAPPY: Final = phrases(
    """
    my sister had her baby / i passed my driving test / she said yes / we got the keys to our first house / I'M
    ENGAGED / my scan came back clear / my dad is out of hospital / i got the job / we won the cup / my brother came
    home from the army / i got into uni / my best friend forgave me / my little girl took her first steps / our dog
    was found / i finished chemo / my team went top of the league / i met my hero / my book got published / grandma
    turned 100 / i just ran my first marathon / he finally asked me out / i'm going to be an uncle / my visa came
    through / my boy said his first word / i beat my dad at chess for once / i aced my finals
    """
)
SAD: Final = phrases(
    """
    my nan passed away / i got dumped / my dog died / i failed my exam again / dad's back in hospital / i lost my
    job / my best friend is moving to Canada / we lost the final on penalties / my landlord is throwing us out / i
    miss my brother so much / my ex walked past with someone new / the vet said there's nothing they can do / mum's
    results are not good / i've never felt so alone / my cat's gone missing / the fox got our hens / i got rejected
    by my dream uni / someone keyed my bike / my wedding is off / the doctor said three months / my flatmate has
    eaten my birthday cake / i didn't get the part / my kid is being bullied / my back is killing me / the government
    is ruining everything / my boss humiliated me in front of everyone
    """
)
AT: Final = phrases(
    """
    at {0} / in the {0} car park / outside {0} / in the queue at {0} / by the {0} downtown / in the {0} toilets / on
    the bench outside {0} / upstairs in {0} / at the {0} near work / on the steps of {0} / in the {0} lobby / at the
    {0} by the station / in aisle 4 of {0} / across from {0} / in the doorway of {0}
    """
)
PASSING_AHEAD: Final = phrases(
    """
    Sat in {0z}. / Writing this outside {0z}: / On the way to {0z}. / Saw a thread about this on {0z}. / Chatting in
    {0z} with my sister: / Waiting for {0z} to open. / Overheard in {0z}:
    """
)
PASSING_AFTER: Final = phrases(
    """
    (sent via {0z}) / Told my mate at {0z} the same. / Right, off to {0z}. / Full story on my {0z} page. / Haven't
    tried {0z} yet. / No idea about {0z}. / (screenshots on {0z}) / Anyone know what {0z} is like?
    """
)
