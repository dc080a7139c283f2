"""Loss functions of points in R^D; each is a weighted sum, as `step.make_update` asks.

Shapes: B points of D coordinates, C charts, ℓ latent coordinates. `weights` [B] add to one over the
step.
"""

import jax
import jax.numpy as jnp
from ott.geometry.geometry import Geometry
from ott.solvers.linear.acceleration import Momentum
from ott.tools.sinkhorn_divergence import sinkhorn_divergence

from qdcjax.models.autoencoder import ChartAutoencoder, lipschitz_bound
from qdcjax.models.generator import Critic, Generator, generate
from qdcjax.models.norms import distances, safe_norm
from qdcjax.training.step import LossFn

RELAXATION = 1.5  # of Sinkhorn's iterations: 30 do for 90; 1.8 diverged in one of the studies


def denoising_loss(
    model: ChartAutoencoder, temperature: float = 0.01, lipschitz: float = 0.0
) -> LossFn:
    """How far x̂ is from the clean point v, and how charts share the points.

    Of the form `partition` Σ_i w_i |x̂_i − v_i|². Of the form `predictor`, with the charts' own
    errors e_ia = |x̂_ia − v_i|²,

        Σ_i w_i (min_a e_ia − Σ_a softmax_a(−e_i / T) log p_ia),

    so that the weights p learn which chart is the best. Batch: `noisy` and `clean` [B, D].

    Args:
      model: for points of the batch's D.
      temperature: T, in the unit of e: about the size of the errors that matter.
      lipschitz: weight of the mean over charts of `models.autoencoder.lipschitz_bound`, which keeps
        charts from folding.
    """

    def loss_fn(params, batch, key):
        weights, penalty = batch["weights"], 0.0
        if lipschitz:
            penalty = lipschitz * weights.sum() * lipschitz_bound(params).mean()
        apply = lambda method, *x: model.apply({"params": params}, *x, method=method)  # noqa: E731
        coordinates, logits = apply("encode_logits", batch["noisy"])
        if model.config.form == "partition":
            output = apply("decode", coordinates, jax.nn.softmax(logits))
            error = jnp.sum(weights * jnp.sum((output - batch["clean"]) ** 2, axis=-1))
            return error + penalty, {"squared_error": error}
        points = apply("decode_charts", coordinates)
        errors = jnp.sum((points - batch["clean"][:, None]) ** 2, axis=-1)  # [B, C]
        best = jax.lax.stop_gradient(jax.nn.softmax(-errors / temperature))
        cross_entropy = -jnp.sum(best * jax.nn.log_softmax(logits), axis=-1)
        loss = jnp.sum(weights * (errors.min(axis=-1) + cross_entropy))
        chosen = jnp.take_along_axis(errors, logits.argmax(axis=-1)[:, None], axis=-1)[:, 0]
        return loss + penalty, {"squared_error": jnp.sum(weights * chosen)}

    return loss_fn


def sinkhorn_loss(model: Generator, epsilon: float) -> LossFn:
    """The Sinkhorn divergence of as many generated points from the batch's, cost |x − y|.

    T(g, x) − T(g, g) / 2, T the entropic transport with ε (see `measures.transport`); the term of
    the batch alone is left out, since no parameter moves it. The generated points are a sample too:
    what is minimised has a bias of the size of its floor at B, even where the batch is all the
    data. The metric `converged` is the share of the two problems that were solved, which ott tells
    by the batch's margin. The iterations of T(g, x) are over-relaxed (Thibault et al. 2017,
    "Overrelaxed Sinkhorn-Knopp algorithm for regularized optimal transport"), which takes about a
    third of them. Batch: `points` [B, D], in one part.
    """

    def loss_fn(params, batch, key):
        middle = batch["weights"] @ batch["points"]  # so that products lose no digits
        points = batch["points"] - middle
        generated = generate(model, params, key, len(points)) - middle
        loss, found = sinkhorn_divergence(
            Geometry,
            distances(generated, points),
            distances(generated, generated),
            epsilon=epsilon,
            b=batch["weights"],
            static_b=True,
            solve_kwargs={"momentum": Momentum(value=RELAXATION)},
        )
        solved = jnp.stack(found.converged[:2]).mean()
        return loss, {"converged": batch["weights"].sum() * solved}

    return loss_fn


def critic_loss(generator: Generator, critic: Critic, penalty: float) -> LossFn:
    """−(Σ w f(x) − mean f(g)) + λ mean (|∇f(m)| − 1)², what a critic f minimises.

    The points m lie at random between real and generated ones (Gulrajani et al. 2017, "Improved
    training of Wasserstein GANs"). Batch: `points` [B, D], and `generator`, parameters.

    Args:
      generator, critic: the models.
      penalty: λ; 0 for a critic that is 1-Lipschitz by itself.
    """

    def loss_fn(params, batch, key):
        real, weights = batch["points"], batch["weights"]
        latent, between = jax.random.split(key)
        generated = generate(generator, batch["generator"], latent, len(real))
        f = lambda x: critic.apply({"params": params}, x)  # noqa: E731
        distance = jnp.sum(weights * (f(real) - f(generated)))
        if not penalty:
            return -distance, {"critic_distance": distance}
        share = jax.random.uniform(between, (len(real), 1))
        slopes = jax.vmap(jax.grad(lambda x: f(x[None])[0]))(share * real + (1 - share) * generated)
        steep = jnp.sum(weights * (safe_norm(slopes) - 1) ** 2)
        return penalty * steep - distance, {"critic_distance": distance}

    return loss_fn


def adversarial_loss(generator: Generator, critic: Critic) -> LossFn:
    """−Σ w f(g), what a generator minimises. Batch: `critic`, parameters; `weights` [B]."""

    def loss_fn(params, batch, key):
        generated = generate(generator, params, key, len(batch["weights"]))
        values = critic.apply({"params": batch["critic"]}, generated)
        return -jnp.sum(batch["weights"] * values), {}

    return loss_fn
