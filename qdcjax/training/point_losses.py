"""Loss functions of points in R^D; each is a weighted sum, as `step.make_update` asks.

Shapes: B points of D coordinates, C charts. `weights` [B] add to one over the step.
"""

import jax
import jax.numpy as jnp

from qdcjax.models.autoencoder import ChartAutoencoder, lipschitz_bound
from qdcjax.training.step import LossFn


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
