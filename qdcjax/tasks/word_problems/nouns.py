"""Names and nouns for the slots of templates, with the forms that English needs.

A slot `{pool}` takes a noun of the pool in the plural, `{pool.one}` in the singular and
`{pool.a}` with its article. `{person}` takes a first name; `{person.he}`, `{person.his}`
and `{person.him}` agree with it. `{person2}`, `{fruit2}`, … are others of the same pool.
"""

_WOMEN = "Anna Clara Ella Emma Grace Jane Julia Lily Lucy Maria Nina Rosa Sara Tina Wendy Zoe"
_MEN = "Adam Ben Carl Dan Eric Felix Hugo Jack Leo Liam Mark Noah Omar Paul Sam Tom"

_NOUNS = {
    "item": "marble marbles, sticker stickers, card cards, coin coins, shell shells, "
    "stamp stamps, button buttons, bead beads",
    "fruit": "apple apples, pear pears, orange oranges, lemon lemons, peach peaches, "
    "plum plums, mango mangoes, fig figs",
    "treat": "cookie cookies, muffin muffins, brownie brownies, cupcake cupcakes, "
    "donut donuts, pie pies, tart tarts, roll rolls",
    "flower": "rose roses, tulip tulips, lily lilies, daisy daisies, iris irises, orchid orchids",
    "supply": "pen pens, pencil pencils, notebook notebooks, eraser erasers, marker markers, "
    "ruler rulers",
    "garment": "shirt shirts, hat hats, scarf scarves, sweater sweaters, belt belts, tie ties",
    "drink": "bottle|of|juice bottles|of|juice, carton|of|milk cartons|of|milk, "
    "can|of|soda cans|of|soda, bottle|of|water bottles|of|water",
    "animal": "duck ducks, goat goats, sheep sheep, hen hens, rabbit rabbits, goose geese",
    "craft": "vase vases, bowl bowls, candle candles, basket baskets, mug mugs, kite kites",
    "toy": "doll dolls, robot robots, puzzle puzzles, ball balls, kite kites, yo-yo yo-yos",
    "crop": "cabbage cabbages, carrot carrots, onion onions, pumpkin pumpkins, turnip turnips, "
    "beet beets",
}


def _forms(entry: str) -> dict[str, str]:
    one, many = entry.replace("|", "\0").split()
    one, many = one.replace("\0", " "), many.replace("\0", " ")
    return {"": many, "one": one, "a": f"{'an' if one[0] in 'aeiou' else 'a'} {one}"}


def _people() -> tuple[dict[str, str], ...]:
    women = [{"": n, "he": "she", "his": "her", "him": "her"} for n in _WOMEN.split()]
    men = [{"": n, "he": "he", "his": "his", "him": "him"} for n in _MEN.split()]
    return tuple(women + men)


POOLS: dict[str, tuple[dict[str, str], ...]] = {
    "person": _people(),
    **{pool: tuple(map(_forms, nouns.split(", "))) for pool, nouns in _NOUNS.items()},
}

# Sentences with a number that no relation uses. None of them can be taken as a fact about
# the people or things of a story.
DISTRACTORS = (
    "A museum in the next town has %d windows.",
    "The oldest tree in the park is %d years old.",
    "A poster on the wall shows %d birds.",
    "The town clock was repaired %d years ago.",
    "There are %d benches in the park across the street.",
    "A song on the radio has %d lines.",
    "The local newspaper has %d pages.",
    "The bridge over the river is %d meters long.",
    "A neighbor down the street owns %d umbrellas.",
    "The mayor of the town is %d years old.",
    "The lighthouse on the coast has %d stairs.",
    "The weather report lists %d cities.",
)
