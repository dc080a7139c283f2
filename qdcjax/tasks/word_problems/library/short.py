"""Concise templates for tiny models: twelve to train on and four to hold out."""

from qdcjax.tasks.word_problems.template import parse_templates

TEMPLATES = parse_templates("""
== sell_and_buy
draw bought 2..30
left = start - sold
    {person} has {start} {item} and sells {sold} of them.
  > {person} has {=} {item} left.
  ? How many {item} does {person} have left?
now = left + bought
    Then {person} buys {bought} {item}.
  > Now {person} has {=} {item}.
  ? How many {item} does {person} have now?
each = now / boxes
    {person} packs all these {item} equally into {boxes} boxes.
  > Each box holds {=} {item}.
  ? How many {item} does each box hold?
worth = each * price
    Each {item.one} is worth ${price}.
  > One box is worth {$=}.
  ? How many dollars is one box worth?
money = worth + saved
    {person} sells one box for what it is worth and already had ${saved}.
  > {person} then has {$=}.
  ? How many dollars does {person} have then?

== bags_and_friends
total = bags * per
    {person} has {bags} bags with {per} {item} each.
  > {person} has {=} {item}.
  ? How many {item} does {person} have?
left = total - lost
    {person} loses {lost} {item}.
  > Then {person} has {=} {item} left.
  ? How many {item} does {person} have left?
share = left / friends
    {person} shares all {item} that are left equally among {friends} friends.
  > Each friend gets {=} {item}.
  ? How many {item} does each friend get?
after = share + had
    One of the friends, {person2}, already had {had} {item}.
  > {person2} then has {=} {item}.
  ? How many {item} does {person2} have then?
more = after * times
    {person3} has {times} times as many {item} as {person2} then has.
  > {person3} has {=} {item}.
  ? How many {item} does {person3} have?

== times_as_many
second = first * times
    {person} has {first} {item}. {person2} has {times} times as many {item} as {person}.
  > {person2} has {=} {item}.
  ? How many {item} does {person2} have?
both = first + second
    {person} and {person2} put all their {item} together.
  > Together they have {=} {item}.
  ? How many {item} do they have together?
left = both - given
    {person} and {person2} give away {given} of these {item}.
  > They have {=} {item} left.
  ? How many {item} do they have left?
each = left / jars
    They put the {item} that are left equally into {jars} jars.
  > Each jar holds {=} {item}.
  ? How many {item} does each jar hold?
full = each + added
    Later {person2} puts {added} more {item} into one jar.
  > That jar then holds {=} {item}.
  ? How many {item} does that jar hold then?

== more_and_fewer
draw a 2..20, more 2..15, fewer 2..15
b = a + more
    {person} has {a} {item}. {person2} has {more} more {item} than {person}.
  > {person2} has {=} {item}.
  ? How many {item} does {person2} have?
c = b - fewer
    {person3} has {fewer} fewer {item} than {person2}.
  > {person3} has {=} {item}.
  ? How many {item} does {person3} have?
all = a + b + c
    The three children put all their {item} together.
  > Together they have {=} {item}.
  ? How many {item} do the three children have together?
also ab = a + b
also ac = a + c
also bc = b + c
each = all / 3
    Then the three children share all of these {item} equally.
  > Each child gets {=} {item}.
  ? How many {item} does each child get?
gain = each - a
  > {person} has {=} {item} more than at first.
  ? How many more {item} does {person} have than at first?

== shop_bill
draw bag 2..20
cost = n * price
    {person} buys {n} {supply} for ${price} each.
  > The {supply} cost {$=}.
  ? How many dollars do the {supply} cost?
total = cost + bag
    {person} also buys a bag for ${bag}.
  > The total is {$=}.
  ? How many dollars does {person} spend?
change = paid - total
    {person} pays with ${paid}.
  > The change is {$=}.
  ? How many dollars does {person} get back?
also rest = paid - cost
share = change / kids
    {person} shares the change equally among {kids} children.
  > Each child gets {$=}.
  ? How many dollars does each child get?
has = share + saved
    One of the children, {person2}, already had ${saved}.
  > {person2} then has {$=}.
  ? How many dollars does {person2} have then?

== wage_and_tickets
draw tip 2..20, ticket 2..9
earned = hours * wage
    {person} works {hours} hours for ${wage} an hour.
  > {person} earns {$=}.
  ? How many dollars does {person} earn?
total = earned + tip
    {person} also gets a tip of ${tip}.
  > With the tip {person} has {$=}.
  ? How many dollars does {person} have with the tip?
left = total - spent
    {person} spends ${spent} on food.
  > {person} has {$=} left.
  ? How many dollars does {person} have left?
tickets = left / ticket
    {person} spends all that is left on tickets for ${ticket} each.
  > {person} buys {=} tickets.
  ? How many tickets does {person} buy?
kept = tickets - given
    {person} gives {given} of the tickets to friends.
  > {person} keeps {=} tickets.
  ? How many tickets does {person} keep?

== reading_a_book
read = days * pages
    {person} reads a book for {days} days, {pages} pages a day.
  > {person} reads {=} pages.
  ? How many pages does {person} read?
left = book - read
    The book has {book} pages.
  > {=} pages are left.
  ? How many pages are left?
more = left / faster
    {person} reads the rest at {faster} pages a day.
  > The rest takes {=} days.
  ? How many days does the rest take?
whole = days + more
  > The whole book takes {=} days.
  ? How many days does the whole book take?
cookies = whole * snack
    {person} eats {snack} cookies on each day of reading.
  > {person} eats {=} cookies.
  ? How many cookies does {person} eat while reading the book?

== ages
draw a 4..30, older 2..30
b = a + older
    {person} is {a} years old. {person2} is {older} years older than {person}.
  > {person2} is {=} years old.
  ? How old is {person2}?
c = b / 2
    {person3} is half as old as {person2}.
  > {person3} is {=} years old.
  ? How old is {person3}?
d = b + c
    {person4} is as old as {person2} and {person3} together.
  > {person4} is {=} years old.
  ? How old is {person4}?
also ac = a + c
e = d - ago
    {person4} came to town {ago} years ago.
  > {person4} was {=} years old then.
  ? How old was {person4} when {person4} came to town?

== half_and_third
draw had 2..25, found 2..25
got = start / 2
    {person} has {start} {item} and gives half of them to {person2}.
  > {person2} gets {=} {item}.
  ? How many {item} does {person2} get?
has = got + had
    {person2} already had {had} {item}.
  > {person2} now has {=} {item}.
  ? How many {item} does {person2} have now?
lost = has / 3
    Then {person2} loses a third of all {person2.his} {item}.
  > {person2} loses {=} {item}.
  ? How many {item} does {person2} lose?
left = has - lost
  > {person2} has {=} {item} left.
  ? How many {item} does {person2} have left?
now = left + found
    Later {person2} finds {found} other {item}.
  > In the end {person2} has {=} {item}.
  ? How many {item} does {person2} have in the end?

== trip_to_the_lake
draw walk 2..15
ride = hours * speed
    {person} rides a bike for {hours} hours at {speed} miles an hour.
  > {person} rides {=} miles.
  ? How many miles does {person} ride?
way = ride + walk
    Then {person} walks {walk} miles to a lake.
  > The way to the lake is {=} miles.
  ? How many miles is the way to the lake?
back = way / fast
    A bus takes {person} back the same way at {fast} miles an hour.
  > The way back takes {=} hours.
  ? How many hours does the way back take?
fare = back * price
    The bus costs ${price} an hour.
  > The bus costs {$=}.
  ? How many dollars does the bus cost?
left = money - fare
    {person} had ${money} before paying for the bus.
  > {person} has {$=} left.
  ? How many dollars does {person} have left?

== garden_rows
draw beds 2..5, bed 2..8
plants = rows * per
    A garden has {rows} rows with {per} {flower} each.
  > The rows have {=} {flower}.
  ? How many {flower} are in the garden?
left = plants - dead
    In a storm {dead} {flower} die.
  > {=} {flower} are left.
  ? How many {flower} are left?
all = left + beds * bed
    Then {person} plants {beds} beds with {bed} new {flower} each.
  > Now the garden has {=} {flower}.
  ? How many {flower} are in the garden now?
also fresh = beds * bed
each = all / bunches
    {person} cuts all the {flower} and ties them into {bunches} equal bunches.
  > Each bunch has {=} {flower}.
  ? How many {flower} are in each bunch?
price = each * cost
    Each {flower.one} sells for ${cost}.
  > A bunch sells for {$=}.
  ? How many dollars does a bunch sell for?

== working_backwards
draw left 2..30, gave 2..30
before = left + gave
    {person} gave {gave} {item} to {person2} and now has {left} {item}.
  > Before the gift {person} had {=} {item}.
  ? How many {item} did {person} have before the gift?
start = before - bought
    Just before the gift {person} had bought {bought} {item}.
  > Before buying, {person} had {=} {item}.
  ? How many {item} did {person} have before buying any?
each = start / boxes
    Those that {person} had before buying any came from {boxes} equal boxes.
  > Each box held {=} {item}.
  ? How many {item} did each box hold?
cost = each * price
    In the boxes each {item.one} had a price of ${price}.
  > A box had a price of {$=}.
  ? How many dollars was the price of a box?
paid = cost - off
    {person} got ${off} off the price of each box.
  > {person} paid {$=} for a box.
  ? How many dollars did {person} pay for a box?

== find_and_break
draw start 2..25, found 2..25
now = start + found
    {person} has {start} {item} and finds {found} others.
  > {person} has {=} {item}.
  ? How many {item} does {person} have?
left = now - broken
    Then {broken} of the {item} break.
  > {person} has {=} good {item} left.
  ? How many good {item} does {person} have left?
second = left * times
    {person2} has {times} times as many good {item} as {person} then has.
  > {person2} has {=} good {item}.
  ? How many good {item} does {person2} have?
both = left + second
    {person} and {person2} put their good {item} together.
  > Together they have {=} good {item}.
  ? How many good {item} do they have together?
each = both / boxes
    They pack the good {item} equally into {boxes} boxes.
  > Each box holds {=} {item}.
  ? How many {item} does each box hold?

== coupon
draw coupon 2..20, soda 2..15
cost = n * price
    {person} orders {n} {treat} for ${price} each.
  > The {treat} cost {$=}.
  ? How many dollars do the {treat} cost?
reduced = cost - coupon
    A coupon takes ${coupon} off the cost.
  > With the coupon they cost {$=}.
  ? How many dollars do they cost with the coupon?
total = reduced + soda
    {person} also orders a soda for ${soda}.
  > The total is {$=}.
  ? How many dollars is the total?
each = total / friends
    The total is split equally among {friends} friends.
  > Each friend pays {$=}.
  ? How many dollars does each friend pay?
left = money - each
    One of the friends, {person2}, came with ${money}.
  > {person2} has {$=} left.
  ? How many dollars does {person2} have left?

== points_in_games
draw more 2..15
first = games * points
    {person} plays {games} games and gets {points} points in each.
  > {person} gets {=} points.
  ? How many points does {person} get?
second = first + more
    {person2} gets {more} more points than {person} in all.
  > {person2} gets {=} points.
  ? How many points does {person2} get?
third = second / 2
    {person3} gets half as many points as {person2}.
  > {person3} gets {=} points.
  ? How many points does {person3} get?
gap = first - third
  > {person} gets {=} points more than {person3}.
  ? How many more points does {person} get than {person3}?
also gap2 = second - third

== minutes_of_practice
draw pause 2..15
work = songs * minutes
    {person} plays {songs} songs of {minutes} minutes each.
  > The songs take {=} minutes.
  ? How many minutes do the songs take?
used = work + pause
    {person} also takes a break of {pause} minutes.
  > {person} uses {=} minutes.
  ? How many minutes does {person} use in all?
left = lesson - used
    The lesson has {lesson} minutes.
  > {=} minutes are left.
  ? How many minutes of the lesson are left?
extra = left / short
    {person} fills the rest with drills of {short} minutes each.
  > {person} does {=} drills.
  ? How many drills does {person} do?
all = songs + extra
    {person} makes a note after every song and every drill.
  > {person} makes {=} notes.
  ? How many notes does {person} make?
""")

# Twelve templates of the default study, depth 2 to 4 (ages) or 5.
DEFAULT_TEMPLATES = (
    "sell_and_buy",
    "bags_and_friends",
    "times_as_many",
    "more_and_fewer",
    "shop_bill",
    "wage_and_tickets",
    "reading_a_book",
    "ages",
    "half_and_third",
    "trip_to_the_lake",
    "garden_rows",
    "working_backwards",
)

# Built from the same operations in another order, and held out from training.
DEFAULT_HELD_OUT = ("find_and_break", "coupon", "points_in_games", "minutes_of_practice")
