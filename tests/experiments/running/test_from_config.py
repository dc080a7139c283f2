"""Config sections become settings; a field that nothing reads is named before a run begins."""

import re

import pytest

from configs import (
    evaluate,
    expert_iteration,
    generator,
    grpo,
    noise,
    ppo,
    pretrain,
    rcrl,
    refinement,
    rl_comparison,
    rloo,
    scaling_laws,
    self_improvement,
    sft,
    sorm,
)
from qdcjax.experiments.running import from_config

CONFIGS = {"sft": sft, "sorm": sorm, "evaluate": evaluate, "expert_iteration": expert_iteration}
CONFIGS |= {"ppo": ppo, "rloo": rloo, "grpo": grpo, "rcrl": rcrl, "refinement": refinement}
SECTIONS = [
    "task",
    "misconceptions",
    "mesh",
    "sft.optimizer",
    *from_config.TRAINING,
    *from_config.SAMPLING,
]
SECTIONS += from_config.ALGORITHMS


@pytest.mark.parametrize("preset", ["", "smoke", "smollm2"])
@pytest.mark.parametrize("study", CONFIGS)
def test_every_config_passes(study, preset):
    from_config.check(CONFIGS[study].get_config(preset).to_dict())


def config_with(section: str) -> dict:
    """A smoke preset that has such a section."""
    configs = [*CONFIGS.values(), pretrain, noise, scaling_laws, generator, self_improvement]
    found = (config.get_config("smoke").to_dict() for config in configs)
    return next(config for config in found if section.split(".")[0] in config)


@pytest.mark.parametrize("section", SECTIONS)
def test_a_misspelt_field_of_any_section_is_named(section):
    config = config_with(section)
    fields = config
    for name in section.split("."):
        fields = fields[name]
    fields["topk"] = 5
    with pytest.raises(ValueError, match=rf"^{section}\.topk is no field of this section: it has"):
        from_config.check(config)


@pytest.mark.parametrize("seeds", [(), (0, 1, 0)])
@pytest.mark.parametrize("config", [noise, rl_comparison], ids=["noise", "rl_comparison"])
def test_the_same_seed_twice_or_none_is_told(config, seeds):
    fields = config.get_config("smoke").to_dict() | {"seeds": seeds}
    with pytest.raises(ValueError, match=rf"^seeds={re.escape(str(seeds))} must be different num"):
        from_config.check(fields)


@pytest.mark.parametrize("study", ["ppo", "rloo", "grpo"])
def test_adam_s_epsilon_suits_small_gradients(study):
    config = CONFIGS[study].get_config("").to_dict()
    mesh = from_config.mesh(config["mesh"])
    for section in filter(config.__contains__, from_config.ONLINE):
        assert from_config.online_training(config, section, mesh).optimizer.eps == 1e-5


@pytest.mark.parametrize("preset", ["", "smoke", "smollm2"])
def test_a_reward_model_labels_what_it_did_not_learn_from(preset):
    config = rcrl.get_config(preset)
    assert config.drafts.split != config.rollouts.split


@pytest.mark.parametrize("name", ["steps", "buckets", "pack", "log_every", "evaluate_every"])
def test_what_rollouts_decide_is_no_field_of_online_training(name):
    config = ppo.get_config("smoke").to_dict()
    config["critic"][name] = 1
    with pytest.raises(ValueError, match=rf"^critic\.{name} is no field of this section"):
        from_config.check(config)


def test_settings_hold_what_the_section_says_and_what_is_changed():
    section = {"splits": ["test"], "questions": 3, "samples": 4, "stop_strings": ["\n"]}
    config = {"evaluation": section}
    settings = from_config.sampling(config, "evaluation", samples=1, temperature=0.0)
    assert (settings.samples, settings.temperature) == (1, 0.0)
    assert settings.stop_strings == ("\n",), "lists are tuples"


@pytest.mark.parametrize(
    ("section", "field", "value", "words"),
    [
        ("finetune", "batch_size", 3, r"finetune\.batch_size=3 must be a multiple"),
        ("finetune", "steps", 0, r"finetune\.steps=0 must be at least 1"),
        ("rollouts", "samples", 0, r"rollouts\.samples=0 must be at least 1"),
        ("expert_iteration", "rounds", 0, r"expert_iteration\.rounds=0 must be at least 1"),
        ("task", "distractors", 9, r"task\.distractors: 9 should be in"),
    ],
)
def test_an_error_names_its_section(section, field, value, words):
    config = expert_iteration.get_config("smoke").to_dict()
    config[section][field] = value
    config["finetune"]["microbatches"] = 2
    with pytest.raises(ValueError, match=f"^{words}"):
        from_config.check(config)
