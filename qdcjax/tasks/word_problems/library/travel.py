"""Trips, schedules and time."""

from qdcjax.tasks.word_problems.template import parse_templates

TEMPLATES = parse_templates("""
== riding_apart
draw hours 2..6
together = speed1 + speed2
    {person} and {person2} leave a town in opposite directions, {person} at {speed1} and
    {person2} at {speed2} miles an hour.
  > Each hour the distance between them grows by {=} miles.
  ? By how many miles does the distance between them grow each hour?
apart = together * hours
    They ride for {hours} hours.
  > Then they are {=} miles apart.
  ? How many miles apart are they then?
also way1 = speed1 * hours
also way2 = speed2 * hours
back = apart / closing
    Then both turn around, and the distance between them shrinks by {closing} miles an hour.
  > They meet after {=} more hours.
  ? How many hours after turning around do they meet?
all = hours + back
  > In all they ride for {=} hours.
  ? For how many hours do they ride in all until they meet?
water = all * cups
    {person} drinks {cups} cups of water in every hour of the ride.
  > {person} drinks {=} cups.
  ? How many cups of water does {person} drink until they meet?

== there_and_back
draw hours 2..6, pause 2..9
way = hours * speed
    {person} drives a truck for {hours} hours at {speed} miles an hour to a farm.
  > The farm is {=} miles away.
  ? How many miles does {person} drive to the farm?
back = way / slow
    {person} drives back the same way at {slow} miles an hour.
  > The way back takes {=} hours.
  ? How many hours does the way back take?
driving = hours + back
  > {person} drives for {=} hours.
  ? How many hours does {person} drive in all?
total = driving + pause
    At the farm {person} rests for {pause} hours.
  > The whole trip takes {=} hours.
  ? How many hours does the whole trip take?
pay = total * wage
    {person} earns ${wage} for every hour of the trip.
  > {person} earns {$=}.
  ? How many dollars does {person} earn?

== bus_stops
draw start 10..50, on1 2..20, on2 2..20, on3 2..20
a = start - off1
    A bus leaves with {start} people. At the first stop {off1} people get off.
  > Then {=} people are on the bus.
  ? How many people are on the bus then?
b = a + on1
    After that {on1} people get on at the first stop.
  > The bus leaves the first stop with {=} people.
  ? With how many people does the bus leave the first stop?
c = b - off2
    At the second stop {off2} people get off.
  > After that {=} people are on the bus.
  ? How many people are on the bus then?
d = c + on2
    After that {on2} people get on at the second stop.
  > The bus leaves the second stop with {=} people.
  ? With how many people does the bus leave the second stop?
e = d / 2
    At the third stop half of the people get off.
  > {=} people stay on the bus.
  ? How many people stay on the bus?
f = e + on3
    After that {on3} people get on at the third stop.
  > The bus leaves the third stop with {=} people.
  ? With how many people does the bus leave the third stop?
g = f - off3
    At the fourth stop {off3} people get off and nobody gets on.
  > Then there are {=} people on the bus.
  ? How many people are on the bus after the fourth stop?
h = g / rows
    Those who are left sit in {rows} rows, equally many in each.
  > {=} people sit in each row.
  ? How many people sit in each row?

== an_hour_of_class
draw intro 2..20
work = 60 - intro
    The class of {person} lasts one hour. The first {intro} minutes are for singing.
  > {=} minutes are left after the singing.
  ? How many minutes are left after the singing?
rest = work - game
    A game takes {game} minutes.
  > {=} minutes are left after the game.
  ? How many minutes are left after the singing and the game?
tasks = rest / length
    In the rest of the hour the class does tasks of {length} minutes each.
  > The class does {=} tasks.
  ? How many tasks does the class do?
points = tasks * worth
    Each task gives {worth} points.
  > The tasks give {=} points.
  ? How many points do the tasks give?
total = points + bonus
    The class also gets {bonus} points for the game.
  > In all the class gets {=} points.
  ? How many points does the class get in all?

== weeks_of_training
draw weeks 2..8, off 2..20
days = weeks * 7
    {person} trains for a race for {weeks} weeks.
  > That is {=} days.
  ? How many days is that?
running = days - off
    {person} runs on all but {off} of these days.
  > {person} runs on {=} days.
  ? On how many days does {person} run?
long = running / 4
    A fourth of the days of running are for long runs.
  > {=} days are for long runs.
  ? On how many days does {person} make long runs?
short = running - long
    On the other days of running {person} makes short runs.
  > {=} days are for short runs.
  ? On how many days does {person} make short runs?
gap = short - long
  > There are {=} more short runs than long runs.
  ? How many more days are for short runs than for long runs?

== laps_each_day
draw first 2..12, more 2..8, extra 2..8
second = first + more
    On Monday {person} swims {first} laps. On Tuesday {person} swims {more} laps more than on
    Monday.
  > On Tuesday {person} swims {=} laps.
  ? How many laps does {person} swim on Tuesday?
third = second + extra
    On Wednesday {person} swims {extra} laps more than on Tuesday.
  > On Wednesday {person} swims {=} laps.
  ? How many laps does {person} swim on Wednesday?
all = first + second + third
  > In the three days {person} swims {=} laps.
  ? How many laps does {person} swim from Monday to Wednesday?
also two = first + second
mean = all / 3
  > On average that is {=} laps a day.
  ? How many laps a day does {person} swim on average from Monday to Wednesday?
gap = record - mean
    The best of the team swims {record} laps a day.
  > {person} swims {=} laps a day less.
  ? How many laps a day more does the best of the team swim than {person} on average from Monday
    to Wednesday?

== fuel_for_the_van
draw mileage 2..9, price 2..6
gallons = miles / mileage
    A van goes {mileage} miles on each gallon of fuel, and {person} drives it for {miles} miles.
  > The van needs {=} gallons.
  ? How many gallons does the van need?
cost = gallons * price
    A gallon costs ${price}.
  > The fuel costs {$=}.
  ? How many dollars does the fuel cost?
total = cost + toll
    {person} also pays a toll of ${toll}.
  > Fuel and toll cost {$=}.
  ? How many dollars do fuel and toll cost together?
each = total / riders
    Fuel and toll are shared equally by {riders} riders.
  > Each rider pays {$=}.
  ? How many dollars does each rider pay?
left = purse - each
    One rider, {person2}, had ${purse} before paying.
  > {person2} has {$=} left.
  ? How many dollars does {person2} have left?

== elevator
draw start 2..20, up1 2..20, up2 2..20
a = start + up1
    An elevator starts at floor {start} and goes up {up1} floors.
  > It is at floor {=}.
  ? At which floor is the elevator?
b = a - down1
    Then the elevator goes down {down1} floors.
  > Then it is at floor {=}.
  ? At which floor is the elevator then?
c = b + up2
    After that the elevator goes up {up2} floors.
  > After that it is at floor {=}.
  ? At which floor is the elevator after that?
d = c / 2
    At that floor {person} gets on, and rides down to the floor with half its number.
  > {person} gets off at floor {=}.
  ? At which floor does {person} get off?
steps = d * stairs
    Later {person} walks from there all the way down to floor 0, with {stairs} stairs from each
    floor to the next.
  > {person} walks down {=} stairs.
  ? How many stairs does {person} walk down?

== parking_fee
draw first 2..12, rate 2..9
extra = hours - 1
    {person} parks for {hours} hours.
    The first hour costs ${first} and each other hour costs ${rate}.
  > {=} hours come after the first.
more = extra * rate
  > These hours cost {$=}.
fee = first + more
  > Parking costs {$=}.
  ? How many dollars does the parking cost?
change = paid - fee
    {person} pays with ${paid} and puts the change into an empty pocket.
  > {person} gets {$=} back.
  ? How many dollars does {person} get back?
total = change + coins
    {person} has ${coins} in another pocket.
  > In both pockets {person} has {$=}.
  ? How many dollars does {person} have in both pockets?
rides = total / ride
    {person} spends all the money from both pockets on boat rides for ${ride} each.
  > {person} can take {=} rides.
  ? How many boat rides does {person} take?

== delivery_trips
draw load 2..9, minutes 2..9
trips = parcels / load
    {person}'s boat takes {load} parcels on each trip and has to carry {parcels} parcels.
  > The boat makes {=} trips.
  ? How many trips does the boat make?
time = trips * minutes
    Each trip takes {minutes} minutes.
  > The trips take {=} minutes.
  ? How many minutes do the trips take?
total = time + loading
    Loading takes {loading} minutes in all.
  > With loading that is {=} minutes.
  ? How many minutes do the trips and the loading take?
left = limit - total
    The boat has to be done within {limit} minutes.
  > {=} minutes are left.
  ? How many minutes before the limit is the boat done?
half = left / 2
    The crew rests for half of the minutes that are left.
  > The crew rests for {=} minutes.
  ? How many minutes does the crew rest?
""")
