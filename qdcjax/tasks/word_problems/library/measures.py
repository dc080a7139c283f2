"""Geometry, lengths, units and volumes."""

from qdcjax.tasks.word_problems.template import parse_templates

TEMPLATES = parse_templates("""
== fence_around_a_garden
draw length 3..18, width 2..12, gate 2..9
half = length + width
    The rectangular garden of {person} is {length} meters long and {width} meters wide.
  > Length and width together are {=} meters.
around = half * 2
    A fence is to go all around the garden.
  > The garden is {=} meters around.
  ? How many meters is it around the garden?
fence = around - gate
    A gap of {gate} meters is left open for a gate.
  > The fence is {=} meters long.
  ? How many meters long is the fence?
panels = fence / size
    The fence is made of panels of {size} meters each.
  > It has {=} panels.
  ? How many panels does the fence have?
cost = panels * price
    A panel costs ${price}.
  > The panels cost {$=}.
  ? How many dollars do the panels cost?
change = budget - cost
    {person} set aside ${budget} for the panels.
  > {$=} are left.
  ? How many dollars of this are left?

== tiles_for_a_floor
draw length 3..10, width 3..8, rug1 2..5, rug2 2..5
floor = length * width
    The floor of {person}'s kitchen is {length} feet long and {width} feet wide.
  > The floor has {=} square feet.
  ? How many square feet does the floor have?
stage = rug1 * rug2
    A part of the floor that is {rug1} feet long and {rug2} feet wide stays bare.
  > {=} square feet stay bare.
rest = floor - stage
    All the rest gets tiles.
  > {=} square feet get tiles.
  ? How many square feet get tiles?
boxes = rest / cover
    A box of tiles covers {cover} square feet.
  > The tiles come in {=} boxes.
  ? How many boxes of tiles are needed?
cost = boxes * price
    A box costs ${price}.
  > The tiles cost {$=}.
  ? How many dollars do the tiles cost?
total = cost + glue
    The glue costs ${glue}.
  > Tiles and glue cost {$=}.
  ? How many dollars do the tiles and the glue cost?

== square_from_its_rope
side = rope / 4
    A rope of {rope} feet goes exactly once around a square table of {person}.
  > Each side of the table is {=} feet long.
  ? How many feet long is each side of the table?
row = side * each
    {person} puts {each} stickers on every foot of a side.
  > A side gets {=} stickers.
  ? How many stickers does one side get?
two = row * 2
    {person} does this on exactly two of the sides.
  > The two sides get {=} stickers.
  ? How many stickers does {person} put on the table?
left = two - lost
    Later {lost} of these stickers fall off.
  > {=} stickers stay on the table.
  ? How many stickers stay on the table?

== three_colors_of_a_band
draw a 3..25, b 3..25
two = a + b
    {person} knits a band with a red part of {a} inches and a blue part of {b} inches.
  > The red and the blue part have {=} inches.
  ? How many inches long are the red and the blue part together?
third = whole - two
    The rest of the band is green, and the whole band is {whole} inches long.
  > The green part is {=} inches long.
  ? How many inches long is the green part?
beads = third * per
    {person} puts {per} beads on every inch of the green part.
  > {person} uses {=} beads.
  ? How many beads does {person} use?
left = had - beads
    {person} had {had} beads before.
  > {person} has {=} beads left.
  ? How many beads does {person} have left?

== cutting_ribbon
draw pieces 2..9
used = pieces * length
    {person} cuts {pieces} pieces of {length} inches each from a ribbon.
  > The pieces use {=} inches.
  ? How many inches of ribbon do the pieces use?
left = ribbon - used
    The ribbon was {ribbon} inches long.
  > {=} inches are left.
  ? How many inches of ribbon are left?
bows = left / bow
    {person} makes bows from the rest and uses {bow} inches for each.
  > {person} makes {=} bows.
  ? How many bows does {person} make?
money = bows * price
    {person} sells each bow for ${price}.
  > The bows bring {$=}.
  ? How many dollars do the bows bring?
total = money + had
    {person} already had ${had}.
  > {person} then has {$=}.
  ? How many dollars does {person} have then?

== feet_and_inches
draw feet 2..5
inches = feet * 12
    {person} has a board of {feet} feet. A foot has 12 inches.
  > The board is {=} inches long.
  ? How many inches long is the board?
left = inches - cut
    {person} cuts off {cut} inches.
  > {=} inches are left.
  ? How many inches of the board are left?
pieces = left / size
    {person} saws the rest into pieces of {size} inches.
  > That gives {=} pieces.
  ? How many pieces does that give?
pegs = pieces * each
    Each piece gets {each} pegs.
  > The pieces get {=} pegs.
  ? How many pegs do the pieces get?
more = pegs - have
    {person} has {have} pegs.
  > {person} needs {=} more pegs.
  ? How many more pegs does {person} need?

== gallons_and_quarts
draw gallons 3..14
quarts = gallons * 4
    {person} has a barrel with {gallons} gallons of cider. A gallon has 4 quarts.
  > The barrel holds {=} quarts.
  ? How many quarts does the barrel hold?
left = quarts - drunk
    People drink {drunk} quarts.
  > {=} quarts are left.
  ? How many quarts are left?
jugs = left / size
    The rest is filled into jugs of {size} quarts.
  > It fills {=} jugs.
  ? How many jugs does it fill?
sold = jugs - kept
    {person} keeps {kept} jugs and sells the others.
  > {person} sells {=} jugs.
  ? How many jugs does {person} sell?
money = sold * price
    A jug sells for ${price}.
  > The jugs bring {$=}.
  ? How many dollars do the jugs bring?
total = money + cash
    {person} had ${cash} in the cash box.
  > The cash box then holds {$=}.
  ? How many dollars are in the cash box then?
rest = total - wage
    A helper gets ${wage} out of the cash box.
  > {$=} stay in the cash box.
  ? How many dollars stay in the cash box?
each = rest / weeks
    {person} then spends all the money in the cash box in {weeks} weeks, the same amount each
    week.
  > {person} spends {$=} a week.
  ? How many dollars does {person} spend each week?

== blocks_in_a_box
draw length 2..5, width 2..5, height 2..4
layer = length * width
    {person} has a box that is {length} blocks long and {width} blocks wide.
  > A layer has {=} blocks.
  ? How many blocks cover the bottom of the box?
all = layer * height
    The box holds {height} layers of blocks.
  > The box holds {=} blocks.
  ? How many blocks does the box hold?
left = all - used
    {person} uses {used} blocks of the full box for a tower.
  > {=} blocks are left.
  ? How many blocks are left in the box?
each = left / kids
    The others are shared equally by {kids} children.
  > Each child gets {=} blocks.
  ? How many blocks does each child get?
more = each + own
    One of the children, {person2}, already had {own} blocks.
  > {person2} then has {=} blocks.
  ? How many blocks does {person2} have then?

== growing_plant
draw start 2..12, growth 2..6, weeks 2..6
gain = growth * weeks
    {person}'s plant grows {growth} inches a week for {weeks} weeks.
  > The plant grows {=} inches.
  ? How many inches does the plant grow?
height = start + gain
    At the beginning the plant was {start} inches tall.
  > It is then {=} inches tall.
  ? How many inches tall is the plant then?
second = height * times
    A tree is {times} times as tall as the plant is then.
  > The tree is {=} inches tall.
  ? How many inches tall is the tree?
gap = second - height
  > The tree is {=} inches taller than the plant.
  ? How many inches taller than the plant is the tree?
step = gap / rungs
    A ladder goes from the height of the plant to the top of the tree in {rungs} equal steps.
  > Each step is {=} inches high.
  ? How many inches high is each step of the ladder?
""")
