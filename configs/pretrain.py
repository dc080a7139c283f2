"""Pretrained starting points in two sizes: language models of word problems of mixed quality.

    python -m qdcjax.main --config=configs/pretrain.py

The corpus has the task's templates, shorter and longer problems too, with solutions of fallible
solvers. A size is a stage of the run: --config.policy.pretrained=runs/pretrain-default/stages/small
goes on from it.

Expect, with seed 0, greedy accuracy of 49 % for the small one on test questions
(docs/rl_comparison.md).
"""

from ml_collections import ConfigDict

from configs import sft


def get_config(preset: str = "") -> ConfigDict:
    if preset not in ("", "smoke"):
        raise ValueError(f"preset={preset!r} must be smoke, or nothing")
    config = sft.get_config(preset)
    config.study = "pretrain"
    config.corpus = ConfigDict({**config.task, "min_depth": 1, "max_depth": 6})
    config.misconceptions = ConfigDict({"hard": 0.25, "err": 0.55})
    config.sizes = ConfigDict(
        {
            "small": {"layers": 2, "width": 64, "heads": 2, "kv_heads": 2, "mlp_width": 192},
            "large": {"layers": 4, "width": 96, "heads": 3, "kv_heads": 3, "mlp_width": 288},
        }
    )
    config.pretrain = config.sft.copy_and_resolve_references()
    del config.sft
    for field in ("validation_questions", "evaluate_every"):
        del config.pretrain[field]
    config.pretrain.update(questions=30_000, steps=1_200)
    config.evaluation.calculator = True
    if preset == "smoke":
        config.evaluation.update(splits=("test",), calculator=False)
        config.corpus.update(min_depth=1, max_depth=2)
        config.pretrain.update(questions=600, steps=100)
        small = {"width": 32, "mlp_width": 96}
        config.sizes.small.update(small)
        config.sizes.large.update(small, layers=3, heads=2, kv_heads=2)
    return config
