"""What members of generators learn from and are held against."""

import numpy as np
import pytest

from configs import generator as config_of
from qdcjax.experiments.stages.generators import distribution_of, learned_from
from qdcjax.experiments.stages.point_cases import Member

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
