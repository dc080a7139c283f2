"""Wages, production, school, farms and stocks."""

from qdcjax.tasks.word_problems.template import parse_templates

TEMPLATES = parse_templates("""
== overtime
draw hours 2..6, wage 2..8, bonus 2..6
regular = hours * wage
    {person} works {hours} regular hours for ${wage} an hour.
  > The regular hours pay {$=}.
  ? How many dollars does {person} earn?
rate = wage + bonus
    Each hour of overtime pays ${bonus} more than a regular hour.
  > An hour of overtime pays {$=}.
late = rate * extra
    {person} also works {extra} hours of overtime.
  > The overtime pays {$=}.
total = regular + late
  > In all {person} earns {$=}.
  ? How many dollars does {person} earn in all?
left = total - tax
    Of all these earnings {person} pays ${tax} in taxes.
  > After taxes {$=} are left.
  ? How many dollars are left after taxes?
half = left / 2
    {person} gives half of what is left to {person2}.
  > {person2} gets {$=}.
  ? How many dollars does {person2} get?
now = half + had
    {person2} already had ${had}.
  > {person2} then has {$=}.
  ? How many dollars does {person2} have then?
books = now / price
    {person2} spends it all on books for ${price} each.
  > {person2} buys {=} books.
  ? How many books does {person2} buy?

== two_machines
draw hours 2..6
together = rate1 + rate2
    One machine makes {rate1} and another makes {rate2} {toy} an hour.
  > Together they make {=} {toy} an hour.
  ? How many {toy} do they make together in an hour?
made = together * hours
    Both run for {hours} hours.
  > They make {=} {toy}.
  ? How many {toy} do they make?
also made1 = rate1 * hours
also made2 = rate2 * hours
good = made - bad
    Of these {toy} {bad} are faulty.
  > {=} {toy} are good.
  ? How many {toy} are good?
boxes = good / size
    The good ones are packed into boxes of {size}.
  > They fill {=} boxes.
  ? How many boxes do the good ones fill?
money = boxes * price
    A box sells for ${price}.
  > The boxes bring {$=}.
  ? How many dollars do the boxes bring?

== average_of_tests
draw a 2..30, b 2..30, target 4..15
total = a + b
    {person} got {a} points in the first and {b} points in the second test.
  > In both tests {person} got {=} points.
  ? How many points did {person} get in both tests together?
goal = target * 3
    {person} wants an average of {target} points over three tests.
  > For this {person} needs {=} points in all three tests.
need = goal - total
  > The third test has to give {=} points.
  ? How many points must {person} get in the third test?
questions = need / worth
    Each right answer in the third test gives {worth} points.
  > {person} needs {=} right answers.
  ? How many right answers does {person} need in the third test?
spare = all - questions
    The third test has {all} questions.
  > {person} may miss {=} questions.
  ? How many questions of the third test may {person} get wrong?

== class_teams
draw girls 4..25, boys 4..25
pupils = girls + boys
    A class has {girls} girls and {boys} boys.
  > The class has {=} pupils.
  ? How many pupils does the class have?
present = pupils - absent
    Today {absent} pupils are absent.
  > {=} pupils are present.
  ? How many pupils are present today?
teams = present / size
    All who are present form teams of {size}.
  > They form {=} teams.
  ? How many teams do they form?
balls = teams * each
    Each team gets {each} balls.
  > The teams get {=} balls.
  ? How many balls do the teams get?
left = stock - balls
    There were {stock} balls in the gym before.
  > {=} balls stay behind.
  ? How many balls stay behind?

== packing_leftovers
draw boxes 2..8
total = crates * per
    A shop gets {crates} crates with {per} {toy} each.
  > The shop gets {=} {toy}.
  ? How many {toy} does the shop get?
packed = boxes * size
    The shop fills {boxes} boxes with {size} {toy} each, and the other {toy} do not fit.
  > {=} {toy} fit into the boxes.
left = total - packed
  > {=} {toy} do not fit.
  ? How many {toy} do not fit into the boxes?
each = left / shelves
    The {toy} that do not fit are put in equal numbers on {shelves} shelves.
  > Each shelf gets {=} {toy}.
  ? How many {toy} does each shelf get?
worth = each * price
    Each {toy.one} sells for ${price}.
  > The {toy} on one shelf sell for {$=}.
  ? For how many dollars do all the {toy} on one shelf sell?

== faulty_lamps
draw percent 10|20|25, lamps 8..60
bad = lamps * percent / 100
    {person}'s factory makes {lamps} lamps, and {percent}% of them are faulty.
  > {=} lamps are faulty.
  ? How many lamps are faulty?
good = lamps - bad
  > {=} lamps are good.
  ? How many lamps are not faulty?
repaired = bad / 2
    Half of the faulty lamps can be repaired.
  > {=} lamps can be repaired.
ready = good + repaired
  > {=} lamps can be sold.
  ? How many lamps can be sold after the repair?
boxes = ready / size
    All lamps that are not faulty after the repair are packed into boxes of {size}.
  > They fill {=} boxes.
  ? How many boxes do they fill?

== library_shelves
draw shelves 2..9, gifts 2..25
books = shelves * per
    A small library has {shelves} shelves with {per} books each.
  > The library has {=} books.
  ? How many books does the library have?
here = books - lent
    The library lends out {lent} books.
  > {=} books stay there.
  ? How many books stay in the library?
more = here + gifts
    Then people give {gifts} new books to the library.
  > After the gifts there are {=} books.
  ? How many books are in the library after the gifts?
old = more / 2
    The library then sells half of the books that it has there.
  > It sells {=} books.
  ? How many books does the library sell?
money = old * price
    Each of the books sells for ${price}.
  > They bring {$=}.
  ? How many dollars do the sold books bring?
total = money + grant
    The town adds ${grant}.
  > The library then has {$=} to spend.
  ? How many dollars does the library have to spend?
rest = total - chairs
    The library pays ${chairs} for chairs.
  > Then {$=} are left.
  ? How many dollars are left after paying for the chairs?
lamps = rest / lamp
    The library spends the rest on lamps for ${lamp} each.
  > It buys {=} lamps.
  ? How many lamps does the library buy?

== school_election
draw third 5..30
left = votes / 2
    In an election with {votes} votes {person} gets half of them.
  > {person} gets {=} votes.
  ? How many votes does {person} get?
others = votes - left - third
    {person2} gets {third} votes, and all other votes go to {person3}.
  > {person3} gets {=} votes.
  ? How many votes does {person3} get?
also second = left - third
gap = third - others
  > {person2} gets {=} more votes than {person3}.
  ? How many more votes does {person2} get than {person3}?

== legs_on_a_farm
draw birds 2..12, goats 2..8, gone 4|6|8|10|12|14|16|18|20|24|28|32|36|40
wings = birds * 2
    {person} has {birds} hens and {goats} goats. A hen has two legs and a goat has four.
  > The hens have {=} legs.
legs = goats * 4
  > The goats have {=} legs.
all = wings + legs
  > Together they have {=} legs.
  ? How many legs do the hens and the goats have together?
also heads = birds + goats
left = all - gone
    In the evening animals with {gone} legs in all go into a barn.
  > {=} legs stay outside.
  ? How many legs stay outside?

== eggs_on_a_farm
draw hens 2..9, days 2..6
daily = hens * eggs
    Each of {hens} hens lays {eggs} eggs a day.
  > The hens lay {=} eggs a day.
  ? How many eggs do the hens lay a day?
sold = daily - eaten
    The family eats {eaten} eggs a day and sells the others.
  > The family sells {=} eggs a day.
  ? How many eggs does the family sell a day?
boxes = sold / size
    The sold eggs are packed into boxes of {size}.
  > The family sells {=} boxes a day.
  ? How many boxes does the family sell a day?
money = boxes * price
    A box costs ${price}.
  > The boxes bring {$=} a day.
  ? How many dollars do the boxes bring a day?
net = money - feed
    Feeding the hens costs ${feed} a day.
  > {$=} a day are left.
  ? How many dollars a day are left after feeding the hens?
total = net * days
    The family saves what is left for {days} days.
  > The family saves {$=}.
  ? How many dollars does the family save?
also alleggs = daily * days

== concert_seats
draw rows 2..9
seats = rows * per
    A hall has {rows} rows with {per} seats each.
  > The hall has {=} seats.
  ? How many seats does the hall have?
taken = seats - free
    At a concert {free} seats stay free.
  > {=} seats are taken.
  ? How many seats are taken?
children = taken / 4
    A fourth of the guests are children, and each guest has one seat.
  > {=} guests are children.
  ? How many guests are children?
adults = taken - children
  > {=} guests are adults.
  ? How many guests are adults?
gap = adults - children
  > There are {=} more adults than children.
  ? How many more adults than children are at the concert?
""")
