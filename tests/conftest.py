"""Eight fake CPU devices, one compilation cache and one tiny policy, shared by all tests."""

import dataclasses
import os
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Any

# These go to the environment, before jax is imported, so that processes started by a test share
# the cache. The number of devices does not: such a process sees the machine as a user's does.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR",
    str(Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "qdcjax-tests"),
)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")
# Tests compile much and compute little: the compiler's passes are left out, and MLIR's emitters,
# which newer versions have no switch for (they refuse this one).
XLA_FLAGS = ["--xla_backend_optimization_level=0"]
if tuple(map(int, version("jaxlib").split(".")[:2])) < (0, 11):
    XLA_FLAGS.append("--xla_cpu_use_fusion_emitters=false")
os.environ.setdefault("XLA_FLAGS", " ".join(XLA_FLAGS))

import hypothesis
import jaxtyping

# Shapes in annotations are checked at every call that a test makes.
jaxtyping.install_import_hook(
    [
        *(f"qdcjax.models.{name}" for name in ("attention", "autoencoder")),
        *(f"qdcjax.models.{name}" for name in ("generator", "norms")),
        "qdcjax.decoding.choose",
        *(f"qdcjax.rl.{name}" for name in ("advantages", "losses", "policy_gradient")),
    ],
    "beartype.beartype",
)

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import runs  # noqa: F401  # the first process makes the folder that all workers share

from qdcjax.data.batches import pad_and_stack
from qdcjax.data.examples import completion_examples, encode_prompts, prompt_text
from qdcjax.data.sentencepiece_tokenizer import SentencePieceTokenizer, train_sentencepiece
from qdcjax.models.config import TransformerConfig
from qdcjax.models.transformer import Transformer, init_params
from qdcjax.training.losses import language_model_loss
from qdcjax.training.step import init_state, make_update


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first, so that no worker waits long for another's last one."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


DEVICES = 8
jax.config.update("jax_num_cpu_devices", DEVICES)

hypothesis.settings.register_profile("qdcjax", deadline=None)
hypothesis.settings.load_profile("qdcjax")

# Question → completions. The sums are false, so that an answer tells who made it: the policy
# learns these by heart, the calculator computes.
DIALOGUES = {
    "How many eggs are in 12 boxes of 3?": ["<<12*3=99>>99 eggs\n#### 99"],
    "What is 5 and 4?": ["5+4 = <<5+4=7>>7\n#### 7", "It is <<4+5=8>>8 in all.\n#### 8"],
    "Say a word.": ["apples", "boxes of eggs", "no"],
    "Ann has 20 apples and gives 2 of them to each of her 6 friends. How many are left?": [
        "She gives 2*6 = <<2*6=11>>11 apples.\nShe keeps <<20-11=5>>5.\n#### 5",
        "#### 5",
    ],
}


@dataclasses.dataclass(frozen=True)
class Policy:
    """A policy that has learnt `DIALOGUES`, not perfectly: sampling gives varied completions."""

    model: Transformer
    params: Any
    tokenizer: SentencePieceTokenizer
    questions: tuple[str, ...] = tuple(DIALOGUES)

    def prompts(self) -> list[list[int]]:
        return encode_prompts(self.tokenizer, [prompt_text(q) for q in self.questions])


@pytest.fixture(scope="session")
def devices():
    """Eight devices; real accelerators, if the suite runs on some, may be fewer."""
    if len(jax.devices()) < DEVICES:
        pytest.skip(f"needs {DEVICES} devices, and there are {len(jax.devices())}")
    return jax.devices()[:DEVICES]


@pytest.fixture(scope="session")
def random_params():
    """`random_params(model)`: parameters without compiling the model's own initialisation."""

    def leaf(path, shape, rng):
        if path[-1].key == "scale":
            return jnp.asarray(rng.uniform(0.5, 1.5, shape.shape), shape.dtype)
        return jnp.asarray(0.15 * rng.normal(size=shape.shape), shape.dtype)

    def random_params(model: Transformer, seed: int = 0):
        rng = np.random.default_rng(seed)
        shapes = jax.eval_shape(lambda: init_params(model, jax.random.key(0)))
        return jax.tree_util.tree_map_with_path(lambda path, x: leaf(path, x, rng), shapes)

    return random_params


@pytest.fixture(scope="session")
def tokenizer():
    texts = [f"{q}\n{c}" for q, completions in DIALOGUES.items() for c in completions]
    return train_sentencepiece(texts, 340)


@pytest.fixture(scope="session")
def policy(tokenizer):
    model = Transformer(
        TransformerConfig(
            vocab_size=tokenizer.vocab_size,
            layers=1,
            width=32,
            heads=4,
            kv_heads=2,
            head_width=8,
            mlp_width=64,
            max_length=256,
        )
    )
    pairs = [(prompt_text(q), c) for q, completions in DIALOGUES.items() for c in completions]
    examples = completion_examples(tokenizer, *zip(*pairs, strict=True), max_length=256)
    batch = pad_and_stack(examples, max(len(example["tokens"]) for example in examples))
    optimizer = optax.adam(1e-2)
    update = make_update(language_model_loss(model), optimizer)

    @jax.jit
    def learn(key):
        state = init_state(init_params(model, key), optimizer)
        state, metrics = jax.lax.scan(
            lambda state, _: update(state, batch, key), state, None, length=24
        )
        return state.params, metrics["loss"]

    params, losses = learn(jax.random.key(0))
    assert 0.06 < losses[-1] < 0.4, f"loss {losses[-1]}: should know its lines, not too well"
    return Policy(model, params, tokenizer)


@pytest.fixture(scope="session")
def count_calls():
    """`count_calls(patch, owner, name)`: a counter of a function's calls from now on.

    What is called under jit is called once a compilation, so this counts compilations.
    """

    def count_calls(patch: pytest.MonkeyPatch, owner, name: str) -> Counter:
        calls, function = Counter(), getattr(owner, name)

        def counted(*args, **kwargs):
            calls[name] += 1
            return function(*args, **kwargs)

        patch.setattr(owner, name, counted)
        return calls

    return count_calls
