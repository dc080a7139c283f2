"""What members of generators learn from and are held against."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import generator as config_of
from qdcjax.experiments.stages import point_members
from qdcjax.experiments.stages.generators import distances, distribution_of, floors, learned_from
from qdcjax.experiments.stages.point_cases import Member, Shape
from qdcjax.measures.transport import exact_w1, floor_w1
from qdcjax.models.generator import Generator, GeneratorConfig, generate

CONFIG = config_of.get_config().to_dict()


@pytest.mark.parametrize("case", ["sphere3", "atoms", "gap", "union", "digits"])
def test_a_member_learns_from_the_first_points_of_the_largest(case):
    fields = CONFIG["cases"][case] | {"sizes": (24, 96)}
    config = CONFIG | {"cases": {case: fields}}
    few, all_of_them = (learned_from(config, Member(case, size, 1)) for size in (24, 96))
    np.testing.assert_array_equal(few, all_of_them[:24])
    held_out = distribution_of(config, case).draw(96, 1)
    both = {tuple(x) for x in all_of_them} & {tuple(x) for x in held_out}
    assert len(both) <= (10 if case == "atoms" else 0), "atoms alone are in both"
    other = learned_from(config, Member(case, 96, 2))
    assert not np.allclose(other, all_of_them), "each seed has its own"


class Tables:
    """A workdir whose tables are made anew at each call."""

    def table(self, name, reads, after, parts, make):
        made = [make(part) for part in parts()]
        return {column: [x for of in made for x in of[column]] for column in made[0]}


def test_generated_points_are_held_against_fresh_ones(monkeypatch):
    members = [Member("sphere3", size, seed) for size in (8, 16) for seed in (0, 1, 2)]
    config = CONFIG | {"cases": {"sphere3": CONFIG["cases"]["sphere3"] | {"sizes": (8, 16)}}}
    shape = Shape("sinkhorn", 16, 4)
    model = Generator(GeneratorConfig(4, 16))
    stacked = jax.vmap(lambda seed: model.init(jax.random.key(seed), jnp.ones((1, 4)))["params"])(
        jnp.arange(len(members))
    )
    monkeypatch.setattr(point_members, "trained", lambda workdir, shape: stacked)
    found = distances(config, Tables(), shape, members)
    assert found["size"] == [8, 8, 8, 16, 16, 16] and found["tested"] == [64] * 3 + [128] * 3
    for n, of in enumerate(members):
        params = point_members.member_of(stacked, n)
        count = 8 * of.size
        generated = np.asarray(generate(model, params, jax.random.key(of.seed), count))
        fresh = distribution_of(config, "sphere3").draw(count, of.seed, held_out=True)
        assert found["w1"][n] == pytest.approx(exact_w1(generated, fresh))
        near = np.linalg.norm(generated[:, None] - learned_from(config, of), axis=-1).min(axis=1)
        assert found["nearest"][n] == pytest.approx(near.mean(), rel=1e-5)
        near = np.linalg.norm(fresh[:, None] - learned_from(config, of), axis=-1).min(axis=1)
        assert found["nearest_held_out"][n] == pytest.approx(near.mean(), rel=1e-5)


def test_floors_are_those_of_a_case_s_own_density():
    cases = ("sphere3", "wide", "atoms", "gap", "digits")
    members = {
        Shape("sinkhorn", 16, 4): [Member(case, 8, seed) for case in cases for seed in (0, 1)]
    }
    config = CONFIG | {"floor": {"dimensions": (2,), "sizes": (20,), "pairs": 5}}
    found = floors(config, Tables(), members)
    assert list(zip(found["of"], found["tested"], strict=True)) == [
        ("S2", 20), ("sphere3", 64), ("wide", 64), ("atoms", 64), ("gap", 64)
    ]  # fmt: skip
    floor = dict(zip(found["of"], found["floor"], strict=True))
    assert floor["sphere3"] == floor["wide"]
    for case in ("wide", "atoms", "gap"):
        density = distribution_of(config, case)
        known = floor_w1(lambda n, rng, of=density: of.draw(n, int(rng.integers(2**31))), 64, 5)
        assert floor[case] == pytest.approx(known.value, rel=1e-5), case
    assert len({floor[case] for case in ("wide", "atoms", "gap")}) == 3
