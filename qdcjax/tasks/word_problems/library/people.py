"""Ages, teams, friends and families."""

from qdcjax.tasks.word_problems.template import parse_templates

TEMPLATES = parse_templates("""
== age_in_the_future
draw now 4..20, years 2..20
later = now + years
    {person} is {now} years old.
  > In {years} years {person} will be {=} years old.
  ? How old will {person} be in {years} years?

== age_of_an_aunt
draw child 5..12, times 3..5, grown 13..30
aunt = child * times
    {person} is {child} years old, and an aunt is {times} times as old.
  > The aunt is {=} years old.
  ? How old is the aunt?
gap = aunt - child
  > The aunt is {=} years older than {person}.
  ? How many years older than {person} is the aunt?
later = gap + grown
    One day {person} will be {grown} years old.
  > The aunt will then be {=} years old.
  ? How old will the aunt be on that day?

== ages_of_siblings
draw youngest 5..10, gap1 2..6, gap2 2..6, times 4..6
middle = youngest + gap1
    {person} is {youngest} years old. A brother is {gap1} years older than {person}.
  > The brother is {=} years old.
  ? How old is the brother?
oldest = middle + gap2
    A sister is {gap2} years older than the brother.
  > The sister is {=} years old.
  ? How old is the sister?
total = youngest + middle + oldest
  > Together they are {=} years old.
  ? How old are the three together?
also two = youngest + middle
mean = total / 3
  > Their average age is {=} years.
  ? What is the average age of the three in years?
mother = mean * times
    Their mother is {times} times as old as the average age of the three.
  > The mother is {=} years old.
  ? How old is the mother?

== team_quarters
draw q1 4..20, less 2..8
q2 = q1 - less
    A team gets {q1} points in the first quarter of a game and {less} fewer in the second.
  > In the second quarter the team gets {=} points.
  ? How many points does the team get in the second quarter?
q3 = q2 * times
    In the third quarter the team gets {times} times as many as in the second.
  > In the third quarter the team gets {=} points.
  ? How many points does the team get in the third quarter?
q4 = q3 - drop
    In the fourth quarter the team gets {drop} points fewer than in the third.
  > In the fourth quarter the team gets {=} points.
  ? How many points does the team get in the fourth quarter?
total = q1 + q2 + q3 + q4
  > In the whole game the team gets {=} points.
  ? How many points does the team get in the four quarters?
also half = q1 + q2
gap = total - other
    The other team gets {other} points in the game.
  > The team wins by {=} points.
  ? By how many points does the team win?

== cards_around
draw a 20..60, b 2..20, c 2..20, d 2..20
give = a / 2
    {person} has {a} cards and deals half of them to {person2}.
  > {person2} is dealt {=} cards.
  ? How many cards is {person2} dealt?
second = give + b
    {person2} had {b} cards before that.
  > {person2} then has {=} cards.
  ? How many cards does {person2} have then?
handed = second / 3
    {person2} gives a third of all {person2.his} cards to {person3}.
  > {person3} gets {=} cards.
  ? How many cards does {person3} get?
third = handed + c
    {person3} had {c} cards before that.
  > {person3} then has {=} cards.
  ? How many cards does {person3} have then?
next = third / 2
    {person3} gives half of all {person3.his} cards to {person4}.
  > {person4} gets {=} cards.
  ? How many cards does {person4} get?
fourth = next + d
    {person4} had {d} cards before that.
  > {person4} then has {=} cards.
  ? How many cards does {person4} have then?
kept = fourth - lost
    Then {person4} loses {lost} cards.
  > {person4} has {=} cards left.
  ? How many cards does {person4} have left?
pages = kept / size
    {person4} puts all of these into an album, {size} cards to a page.
  > {person4} fills {=} pages.
  ? How many pages does {person4} fill?

== charity_run
draw laps 2..9, more 2..6, rate 2..5
second = laps + more
    {person} runs {laps} laps, and {person2} runs {more} laps more.
  > {person2} runs {=} laps.
  ? How many laps does {person2} run?
all = laps + second
  > Together they run {=} laps.
  ? How many laps do they run together?
money = all * rate
    A sponsor pays ${rate} for each lap of the two.
  > The sponsor pays {$=}.
  ? How many dollars does the sponsor pay?
also first_pay = laps * rate
also second_pay = second * rate
rest = money - shirts
    They spend ${shirts} of the money on shirts.
  > {$=} are left.
  ? How many dollars are left?
each = rest / homes
    The rest is given in equal parts to {homes} animal homes.
  > Each home gets {$=}.
  ? How many dollars does each animal home get?
total = each + gifts
    One of the homes also gets ${gifts} from a neighbor.
  > That home gets {$=}.
  ? How many dollars does that home get in all?
after = total - doctor
    That home pays a doctor ${doctor} out of this.
  > Then it has {$=} left.
  ? How many dollars does that home have left after paying the doctor?
bags = after / bag
    That home spends the rest on bags of food for ${bag} each.
  > It buys {=} bags of food.
  ? How many bags of food does that home buy?

== shared_chores
draw a 2..12, b 2..12
both = a + b
    On Saturday {person} washes {a} windows and {person2} washes {b}.
  > Together they wash {=} windows.
  ? How many windows do they wash on Saturday?
sunday = both / 2
    On Sunday they wash half as many windows as on Saturday.
  > On Sunday they wash {=} windows.
  ? How many windows do they wash on Sunday?
all = both + sunday
  > On both days they wash {=} windows.
  ? How many windows do they wash on both days?
left = house - all
    The house has {house} windows, and no window is washed twice.
  > {=} windows are still dirty.
  ? How many windows of the house are still dirty?
each = left / helpers
    On Monday {helpers} friends wash the dirty windows, each the same number.
  > Each friend washes {=} windows.
  ? How many windows does each friend wash?

== shells_on_the_beach
draw first 2..12
second = first * 2
    {person} finds {first} shells, and {person2} finds twice as many.
  > {person2} finds {=} shells.
  ? How many shells does {person2} find?
third = second - fewer
    {person3} finds {fewer} fewer shells than {person2}.
  > {person3} finds {=} shells.
  ? How many shells does {person3} find?
all = first + second + third
  > Together they find {=} shells.
  ? How many shells do the three find together?
also pair = first + second
good = all - broken
    They throw away {broken} broken shells.
  > {=} good shells are left.
  ? How many good shells are left?
strings = good / size
    They make necklaces from the good shells, {size} shells for each.
  > They make {=} necklaces.
  ? How many necklaces do they make?
money = strings * price
    Each necklace sells for ${price}.
  > The necklaces bring {$=}.
  ? How many dollars do the necklaces bring?
left = money - thread
    They spent ${thread} on thread for the necklaces.
  > Their profit is {$=}.
  ? How many dollars of profit do they make?
share = left / 3
    The three share the profit equally.
  > Each of them gets {$=}.
  ? How many dollars does each of them get?

== guests_at_a_party
draw families 2..6, adults 2..4, kids 2..5
each = adults + kids
    Each family at {person}'s party has {adults} adults and {kids} children.
  > A family has {=} people.
  ? How many people does a family have?
people = each * families
    There are {families} families.
  > {=} people are in the families.
  ? How many people are in the families?
also grown = adults * families
also small = kids * families
all = people + singles
    Another {singles} people come alone.
  > {=} people are at the party.
  ? How many people are at the party?
tables = all / seats
    All guests sit at tables of {seats}, and every table is full.
  > They fill {=} tables.
  ? How many tables do they fill?
candles = tables * lights
    There are {lights} candles on every table.
  > There are {=} candles.
  ? How many candles are there?
burning = candles - out
    The wind puts out {out} of the candles.
  > {=} candles still burn.
  ? How many candles still burn?
""")
