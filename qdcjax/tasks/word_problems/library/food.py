"""Recipes, bakeries, picnics, mixtures and fractions of a whole."""

from qdcjax.tasks.word_problems.template import parse_templates

TEMPLATES = parse_templates("""
== recipe
draw cups 2..9
per = batch / cups
    A recipe with {cups} cups of flour makes {batch} {treat}.
  > One cup of flour makes {=} {treat}.
  ? How many {treat} does one cup of flour make?
need = want / per
    {person} wants to bake {want} {treat} by this recipe.
  > {person} needs {=} cups of flour.
  ? How many cups of flour does {person} need?
missing = need - have
    {person} has {have} cups of flour at home.
  > {person} still needs {=} cups.
  ? How many more cups of flour does {person} need?
cost = missing * price
    {person} buys the missing flour for ${price} a cup.
  > The flour costs {$=}.
  ? How many dollars does the missing flour cost?

== eggs_by_the_dozen
draw dozens 2..5, size 2..6
eggs = dozens * 12
    {person} buys {dozens} dozen eggs for a bakery.
  > {person} buys {=} eggs.
  ? How many eggs does {person} buy?
good = eggs - broken
    On the way {broken} eggs break.
  > {=} eggs are good.
  ? How many good eggs are left?
cakes = good / size
    A cake needs {size} eggs, and {person} uses all the good eggs for cakes.
  > {person} makes {=} cakes.
  ? How many cakes does {person} make?
sold = cakes - kept
    {person} keeps {kept} cakes and sells the others.
  > {person} sells {=} cakes.
  ? How many cakes does {person} sell?
money = sold * price
    Each cake sells for ${price}.
  > The cakes bring {$=}.
  ? How many dollars do the cakes bring?
total = money + drinks
    {person} also takes in ${drinks} for coffee.
  > In all {person} takes in {$=}.
  ? How many dollars does {person} take in?
after = total - costs
    {person} pays ${costs} for milk and sugar out of all this money.
  > After that {person} has {$=}.
  ? How many dollars does {person} have after paying?
each = after / helpers
    {person} divides the rest equally among {helpers} helpers.
  > Each helper gets {$=}.
  ? How many dollars does each helper get?

== pizza_party
draw pizzas 2..7
slices = pizzas * 8
    {person} orders {pizzas} pizzas with eight slices each.
  > There are {=} slices.
  ? How many slices are there?
eaten = guests * each
    There are {guests} guests, and each guest eats {each} slices.
  > The guests eat {=} slices.
left = slices - eaten
    Nobody else eats from the pizzas.
  > {=} slices are left.
  ? How many slices are left?
half = left / 2
    {person} puts half of the slices that are left into the freezer.
  > {=} slices go into the freezer.
  ? How many slices go into the freezer?
days = half / daily
    Later {person} eats {daily} slices from the freezer each day.
  > They last for {=} days.
  ? For how many days do the frozen slices last?

== fruit_punch
water = syrup * parts
    {person} makes punch from {syrup} cups of syrup and {parts} times as much water.
  > It has {=} cups of water.
  ? How many cups of water are in the punch?
total = syrup + water
    Nothing else is in the punch.
  > The punch has {=} cups.
  ? How many cups of punch are there?
poured = total - spilled
    {person} spills {spilled} cups of the punch.
  > {=} cups are left.
  ? How many cups of punch are left?
each = poured / guests
    The rest is shared equally by {guests} guests.
  > Each guest gets {=} cups.
  ? How many cups does each guest get?
two = each * jugs
    A family of {jugs} of these guests pours its cups into one jug.
  > The jug holds {=} cups.
  ? How many cups of punch are in the jug?

== picking_fruit
draw hours 2..6
first = hours * rate1
    {person} picks {rate1} baskets of {fruit} an hour for {hours} hours.
  > {person} picks {=} baskets.
  ? How many baskets does {person} pick?
second = hours * rate2
    {person2} picks {rate2} baskets an hour in the same time.
  > {person2} picks {=} baskets.
both = first + second
  > Together they pick {=} baskets.
  ? How many baskets do they pick together?
also rates = rate1 + rate2
left = both - bad
    They throw {bad} baskets away.
  > {=} baskets are left.
  ? How many baskets are left?
jars = left / size
    They cook jam from the rest and use {size} baskets for each jar.
  > They fill {=} jars.
  ? How many jars do they fill?
sold = jars - kept
    They keep {kept} jars for themselves and sell the others.
  > They sell {=} jars.
  ? How many jars do they sell?
money = sold * price
    A jar sells for ${price}.
  > The jars bring {$=}.
  ? How many dollars do the jars bring?
each = money / 2
    {person} and {person2} share this money equally.
  > Each of them gets {$=}.
  ? How many dollars does each of them get?

== bakery_day
draw trays 2..9, sold1 2..30, more 2..25
baked = trays * per
    In the morning a baker bakes {trays} trays with {per} {treat} each.
  > The baker bakes {=} {treat}.
  ? How many {treat} does the baker bake in the morning?
left = baked - sold1
    By noon {sold1} of the {treat} are sold.
  > At noon {=} {treat} are left.
  ? How many {treat} are left at noon?
stock = left + more
    After noon the baker bakes {more} more {treat}.
  > Then there are {=} {treat}.
  ? How many {treat} are there then?
rest = stock - sold2
    In the afternoon {sold2} {treat} are sold.
  > In the evening {=} {treat} are left.
  ? How many {treat} are left in the evening?
bags = rest / size
    The baker packs all that are left into bags of {size}.
  > There are {=} bags.
  ? How many bags does the baker pack?
cheap = bags * price
    In the evening each bag sells for ${price}, and all are sold.
  > The bags bring {$=}.
  ? How many dollars do the bags bring?
total = cheap + day
    During the day the baker took in ${day}.
  > With the bags that makes {$=}.
  ? How many dollars does the baker take in with the bags?
profit = total - costs
    The costs of the day are ${costs}.
  > The profit is {$=}.
  ? How many dollars of profit does the baker make?

== picnic_sandwiches
draw people 3..9, pack 2..6
need = people * each
    For a picnic of {people} people {person} wants {each} sandwiches for each of them.
  > {person} needs {=} sandwiches.
  ? How many sandwiches does {person} need?
missing = need - have
    {person} has already made {have} sandwiches.
  > {=} sandwiches are missing.
  ? How many more sandwiches does {person} have to make?
packs = missing / pack
    One loaf of bread is enough for {pack} sandwiches.
  > {person} needs {=} loaves for them.
  ? How many loaves does {person} need for the missing sandwiches?
cost = packs * price
    A loaf costs ${price}.
  > The loaves cost {$=}.
  ? How many dollars do these loaves cost?
change = paid - cost
    {person} pays with ${paid}.
  > {person} gets {$=} back.
  ? How many dollars does {person} get back?

== fractions_of_candy
third = candy / 3
    {person} has {candy} candies and eats a third of them on Monday.
  > {person} eats {=} candies on Monday.
  ? How many candies does {person} eat on Monday?
rest = candy - third
  > {=} candies are left.
  ? How many candies are left after Monday?
gone = rest / 4
    On Tuesday {person} gives a fourth of the rest to {person2}.
  > {person2} gets {=} candies.
  ? How many candies does {person2} get?
left = rest - gone
  > {person} then has {=} candies.
  ? How many candies does {person} have after Tuesday?
now = left + found
    On Wednesday {person} finds {found} more candies.
  > After that {person} has {=} candies.
  ? How many candies does {person} have after Wednesday?
each = now / kids
    On Thursday {person} divides all the candies equally among {kids} children.
  > Each child gets {=} candies.
  ? How many candies does each child get?

== filling_a_tank
draw inflow 3..12, leak 2..9, start 2..20
net = inflow - leak
    Each hour {inflow} gallons flow into {person}'s tank and {leak} gallons leak out.
  > Each hour the tank gains {=} gallons.
  ? How many gallons does the tank gain each hour?
gained = net * hours
    Water flows in and leaks out like this for {hours} hours.
  > In that time it gains {=} gallons.
  ? How many gallons does it gain in that time?
level = start + gained
    At first the tank held {start} gallons.
  > It then holds {=} gallons.
  ? How many gallons does the tank hold then?
missing = size - level
    The full tank holds {size} gallons.
  > {=} gallons are missing.
  ? How many gallons are missing until the tank is full?
more = missing / net
    Water goes on flowing in and leaking out as before.
  > That takes {=} more hours.
  ? How many more hours does it take until the tank is full?
all = hours + more
  > In all that takes {=} hours.
  ? How many hours does it take in all to fill the tank?

== dinner_with_tip
draw percent 10|20|25, meal 2..20
food = people * meal
    At dinner each of {people} people has a meal for ${meal}.
  > The meals cost {$=}.
  ? How many dollars do the meals cost?
tip = food * percent / 100
    They leave a tip of {percent}% of the cost of the meals.
  > The tip is {$=}.
  ? How many dollars is the tip?
total = food + tip
  > Meals and tip cost {$=}.
  ? How many dollars do the meals and the tip cost together?
left = total - voucher
    A voucher pays ${voucher} of the total.
  > {$=} are left to pay.
  ? How many dollars are left to pay?
each = left / payers
    The rest is paid in equal parts by {payers} of the people.
  > Each of them pays {$=}.
  ? How many dollars does each of them pay?
""")
