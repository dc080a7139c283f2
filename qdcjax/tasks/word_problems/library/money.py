"""Prices, discounts, savings, profit and budgets."""

from qdcjax.tasks.word_problems.template import parse_templates

TEMPLATES = parse_templates("""
== coat_on_sale
draw percent 10|20|25|50, other 2..25
off = price * percent / 100
    {person} finds a coat that costs ${price} and is on sale for {percent}% off.
  > The discount is {$=}.
  ? How many dollars is the discount?
sale = price - off
  > The coat costs {$=} on sale.
  ? How many dollars does the coat cost on sale?
total = sale + other
    {person} buys the coat on sale and also {garment.a} for ${other}.
  > The total is {$=}.
  ? How many dollars does {person} spend?
change = paid - total
    {person} hands over ${paid}.
  > {person} gets {$=} back.
  ? How many dollars does {person} get back?
tokens = change / token
    All the money that comes back is spent on game tokens for ${token} each.
  > {person} gets {=} tokens.
  ? How many tokens does {person} get?

== skateboard_savings
draw had 2..20, price 20..60
saved = weeks * weekly
    {person} saves ${weekly} a week for {weeks} weeks.
  > {person} saves {$=}.
  ? How many dollars does {person} save?
total = saved + had
    {person} already had ${had} at the beginning.
  > {person} then has {$=}.
  ? How many dollars does {person} have after those weeks?
missing = price - total
    A skateboard costs ${price}.
  > {person} still needs {$=}.
  ? How many more dollars does {person} need for the skateboard?
more = missing / faster
    From then on {person} saves ${faster} a week until the skateboard can be bought.
  > That takes {=} more weeks.
  ? How many more weeks does {person} need?
all = weeks + more
  > In all {person} saves for {=} weeks.
  ? For how many weeks does {person} save in all?

== lemonade_stand
draw lemons 2..20, sugar 2..20
sales = cups * price
    {person} and {person2} sell {cups} cups of lemonade for ${price} each.
  > They take in {$=}.
  ? How many dollars do they take in?
costs = lemons + sugar
    They paid ${lemons} for lemons and ${sugar} for sugar.
  > They paid {$=}.
profit = sales - costs
  > Their profit is {$=}.
  ? How many dollars of profit do they make?
also after_lemons = sales - lemons
also after_sugar = sales - sugar
share = profit / 2
    They share the profit equally.
  > Each of them gets {$=}.
  ? How many dollars does each of them get?
total = share + piggy
    {person2} puts the share into a piggy bank that held ${piggy}.
  > The piggy bank then holds {$=}.
  ? How many dollars does the piggy bank hold then?
toys = total / toyprice
    {person2} spends the whole piggy bank on toy cars for ${toyprice} each.
  > {person2} buys {=} toy cars.
  ? How many toy cars does {person2} buy?
left = toys - given
    {person2} gives {given} of the toy cars to a cousin.
  > {person2} keeps {=} toy cars.
  ? How many toy cars does {person2} keep?
wheels = left * 4
    Each toy car has four wheels.
  > They have {=} wheels.
  ? How many wheels do the toy cars that {person2} keeps have?

== two_shops
draw n1 2..9, n2 2..9
unit1 = price1 / n1
    At the first shop {n1} {supply} cost ${price1}. All {supply} of a shop have one price.
  > At the first shop {supply.a} costs {$=}.
  ? How many dollars does {supply.a} cost at the first shop?
unit2 = price2 / n2
    At the second shop {n2} {supply} cost ${price2}.
  > At the second shop {supply.a} costs {$=}.
gap = unit1 - unit2
  > One {supply.one} costs {$=} less at the second shop.
  ? How many dollars less does {supply.a} cost at the second shop?
saved = gap * want
    {person} needs {want} {supply} and buys them at the second shop.
  > {person} saves {$=}.
  ? How many dollars does {person} save by not buying at the first shop?
also paid = unit2 * want
wallet = saved + had
    {person} puts the money saved that way into a box that held ${had}.
  > The box then holds {$=}.
  ? How many dollars does the box hold then?

== class_fundraiser
draw boxes1 2..6, boxes2 2..6, goal 30..60
first = boxes1 * price1
    The class of {person} sells {boxes1} boxes of cards for ${price1} each.
  > The cards bring {$=}.
  ? How many dollars do the cards bring?
second = boxes2 * price2
    The class also sells {boxes2} boxes of candles for ${price2} each.
  > The candles bring {$=}.
both = first + second
  > Together that is {$=}.
  ? How many dollars does the class collect?
missing = goal - both
    The goal of the class is ${goal}.
  > The class still needs {$=}.
  ? How many more dollars does the class need?
each = missing / pupils
    The missing money is paid in equal parts by {pupils} parents.
  > Each parent pays {$=}.
  ? How many dollars does each parent pay?
left = purse - each
    One of the parents has ${purse} in a purse and takes the money from it.
  > The purse then holds {$=}.
  ? How many dollars does the purse hold then?

== daily_budget
draw income 24..60
rent = income / 3
    {person} earns ${income} a day and puts a third of it aside for rent.
  > {person} puts {$=} aside for rent.
  ? How many dollars a day does {person} put aside for rent?
food = income / 4
    {person} spends a fourth of what {person.he} earns a day on food.
  > {person} spends {$=} on food.
used = rent + food
  > Rent and food take {$=}.
  ? How many dollars a day do rent and food take?
left = income - used
  > That leaves {$=}.
  ? How many dollars a day are left after rent and food?
also after_rent = income - rent
also after_food = income - food
saved = left - fun
    {person} spends ${fun} a day on other things and saves the rest.
  > {person} saves {$=} a day.
  ? How many dollars does {person} save a day?
total = saved * days
    {person} lives like this for {days} days.
  > {person} saves {$=} in all.
  ? How many dollars does {person} save in all?

== cash_in_a_jar
draw fives 2..6, tens 2..4, ones 2..15
five = fives * 5
    {person} has a jar with {fives} five-dollar bills in it.
  > The five-dollar bills are worth {$=}.
  ? How many dollars are in the jar?
ten = tens * 10
    The jar also holds {tens} ten-dollar bills.
  > The ten-dollar bills are worth {$=}.
total = five + ten + ones
    The jar also holds {ones} one-dollar bills and nothing else.
  > The jar holds {$=}.
  ? How many dollars does the jar hold?
left = total - taken
    {person} takes ${taken} out of the jar.
  > The jar then holds {$=}.
  ? How many dollars are left in the jar?
each = left / kids
    What is left is shared equally by {kids} children.
  > Each child gets {$=}.
  ? How many dollars does each child get?

== resale
draw buy 2..12, sell 4..20, n 2..12
margin = sell - buy
    {person} buys {craft} for ${buy} each and sells them for ${sell} each.
  > {person} makes {$=} on each of them.
  ? How many dollars of profit does {person} make on each of them?
profit = margin * n
    {person} sells {n} {craft}.
  > On all of them {person} makes {$=}.
  ? How many dollars of profit does {person} make in all?
after = profit - fee
    The market takes a fee of ${fee} from the profit.
  > After the fee {$=} remain.
  ? How many dollars remain after the fee?
half = after / 2
    Half of what remains goes to a charity.
  > The charity gets {$=}.
  ? How many dollars does the charity get?
gifts = half / gift
    The charity spends it all on gifts for ${gift} each.
  > The charity buys {=} gifts.
  ? How many gifts does the charity buy?

== gym_membership
draw base 2..25, months 2..6
classes = visits * fee
    A gym charges ${fee} a class, and {person} takes {visits} classes a month.
  > The classes cost {$=} a month.
  ? How many dollars do the classes cost a month?
month = classes + base
    There is also a membership of ${base} a month.
  > A month costs {$=}.
  ? How many dollars does a month cost?
reduced = month - refund
    Insurance pays {person} back ${refund} a month.
  > After that a month costs {$=}.
  ? How many dollars does a month cost after insurance has paid?
total = reduced * months
    {person} goes there for {months} months.
  > In all {person} pays {$=}.
  ? How many dollars does {person} pay in all after insurance has paid?

== doubling_savings
draw first 2..8, start 2..15
second = first * 2
    {person} saves ${first} in May and twice as much in June.
  > {person} saves {$=} in June.
  ? How many dollars does {person} save in June?
third = second + extra
    In July {person} saves ${extra} more than in June.
  > {person} saves {$=} in July.
  ? How many dollars does {person} save in July?
all = first + second + third
  > In the three months {person} saves {$=}.
  ? How many dollars does {person} save in the three months?
also early = first + second
total = all + start
    {person} had ${start} before May.
  > {person} then has {$=}.
  ? How many dollars does {person} have after July?
left = total - price
    In August {person} buys a lamp for ${price}.
  > {person} has {$=} left.
  ? How many dollars does {person} have left after buying the lamp?
each = left / days
    {person} spends the rest on a vacation of {days} days, the same amount each day.
  > {person} spends {$=} a day.
  ? How many dollars does {person} spend on each day of the vacation?
""")
