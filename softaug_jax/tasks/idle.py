"""Which fields of a valid config change nothing, as its other fields are: an option for one easily misleads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any

from softaug_jax.data.info import INFO
from softaug_jax.softening import HYPOTHESES

Condition = Callable[[Any], str]  # of a config: why the field changes nothing, as a clause; "" if it acts


def has(field: str, *values: Any) -> Condition:
    """Another field has one of these values."""
    of = attrgetter(field)
    return lambda config: "" if of(config) in values else f"config.{field} is {of(config)!r}"


def is_not(field: str, number: float) -> Condition:
    """Another field is not this number."""
    of = attrgetter(field)
    return lambda config: "" if of(config) != number else f"config.{field} is {number:g}"


def evaluates(*names: str) -> Condition:
    """One of these is among the evaluations, during the training or at its end."""
    missing = f"neither config.evals.periodic nor config.evals.final has {' or '.join(map(repr, names))}"
    return lambda config: "" if {*config.evals.periodic, *config.evals.final} & {*names} else missing


def both(*conditions: Condition) -> Condition:
    """All of them hold."""
    return lambda config: next(filter(None, (why_not(config) for why_not in conditions)), "")


def crops(*kinds: str) -> Condition:
    """The crop is one of these, and on in some epoch."""
    return both(has("augment.crop", *kinds), is_on)


def is_on(config: Any) -> str:
    """The crop is not left out from the first epoch on."""
    left_out = config.augment.uncropped_final_epochs
    return "" if left_out < config.epochs else f"config.augment.uncropped_final_epochs is {left_out}, all epochs"


def hides(config: Any) -> str:
    """Some augmentation says that it has left less than all of an image visible."""
    erase, policy, why_no_crop = config.augment.erase, config.augment.policy, CROPS_SOFTLY(config)
    if not why_no_crop or {erase, policy} - HIDE_NOTHING or "noise" in config:
        return ""
    return f"every image counts as whole, as {why_no_crop} and config.augment.erase is {erase!r}"


def bends(config: Any) -> str:
    """The confidence is not the same at every visibility."""
    if config.soften.p_min != config.soften.p_max:
        return ""
    return f"config.soften.p_min and config.soften.p_max are both {config.soften.p_max:g}"


def softens(config: Any) -> str:
    """Some confidence is not 1."""
    return bends(config) or hides(config) if config.soften.p_max == 1 else ""


def aims(config: Any) -> str:
    """If targets alone are softened, something of them is left by the class's moving target."""
    return is_not("loss.online_smoothing", 1)(config) if config.soften.mode == "target" else ""


def in_colour(config: Any) -> str:
    """The images have more than one channel."""
    return "" if INFO[config.dataset].channels > 1 else f"the images of {config.dataset} are grey"


def in_between(config: Any) -> str:
    """Something is evaluated before the end."""
    return "" if config.evals.periodic else "config.evals.periodic is empty"


HIDE_NOTHING = {"none", "cutout", "random", "randaugment", "trivialaugment"}  # or don't say so; one's own may
CROPS_SOFTLY = crops("soft", "soft_resized")
IS_SOFT = both(has("soften.mode", "target", "weight", "target_and_weight"), aims)
WEIGHTS = has("soften.mode", "weight", "target_and_weight")
SHIFTS = crops("soft", "hard")
JITTERS = is_not("views.jitter_probability", 0)

# When a field acts, by its name, or by its beginning up to a dot or an underscore. What is not here always does.
ACTS_IF: Mapping[str, Condition] = {
    "augment.policy_num_ops": has("augment.policy", "randaugment"),
    "augment.policy_magnitude": has("augment.policy", "randaugment"),
    "augment.crop": is_on,
    "augment.pad_px": crops("hard"),
    "augment.sigma": CROPS_SOFTLY,
    "augment.rounding": crops("soft"),
    "augment.scale_min": crops("random_resized"),
    "augment.scale_max": crops("random_resized"),
    "augment.fill": SHIFTS,
    "augment.fill_noise": SHIFTS,
    "augment.uncropped_final_epochs": has("augment.crop", "soft", "hard", "soft_resized", "random_resized"),
    "augment.cutout_px": has("augment.erase", "cutout"),
    "augment.erase_probability": has("augment.erase", "random", "soft_random"),
    "augment.mix_alpha": has("augment.mix", "mixup", "cutmix"),
    "augment.mix_probability": has("augment.mix", "cutmix"),
    "soften.mode": both(softens, aims),
    "soften.k": both(IS_SOFT, bends, hides),
    "soften.p_min": both(IS_SOFT, hides),
    "soften.p_max": IS_SOFT,
    "loss.weighting": both(WEIGHTS, bends, hides),
    "loss.normalize_weights": both(WEIGHTS, softens),
    "sngp.": has("model.head", "sngp"),
    "duq.": has("model.head", "duq"),
    "model.predictor_dim": has("pairs.method", "simsiam"),
    "pairs.redundancy": has("pairs.method", "barlow_twins"),
    "pairs.hypothesis": is_not("pairs.p_min", 1),
    "pairs.k": both(has("pairs.hypothesis", *HYPOTHESES), is_not("pairs.p_min", 1)),
    "pairs.p_min": has("pairs.hypothesis", *HYPOTHESES),
    "views.brightness": JITTERS,
    "views.contrast": JITTERS,
    "views.saturation": both(JITTERS, in_colour),
    "views.hue": both(JITTERS, in_colour),
    "views.grayscale_probability": in_colour,
    "optimizer.nesterov": is_not("optimizer.momentum", 0),
    "optimizer.decayed": is_not("optimizer.weight_decay", 0),
    "data.steps_per_dispatch": has("data.loader", "device"),
    "data.v2_dir": evaluates("v2"),
    "eval_every_epochs": in_between,
    "evals.num_bins": evaluates("calibration", "v2", "probe"),
    "evals.occlusion_shares": evaluates("occlusion"),
    "evals.occlusion_draws": evaluates("occlusion"),
    "evals.occlusion_fill": evaluates("occlusion", "energy", "density"),
    "evals.knn_": evaluates("knn"),
    "evals.probe_": evaluates("probe"),
}


def why_idle(config: Any, field: str) -> str:
    """Why a field of the config changes nothing, as a clause; "" if it acts."""
    for name, why_not in ACTS_IF.items():
        if field == name or (name.endswith((".", "_")) and field.startswith(name)):
            return why_not(config)
    return ""


def sentences(config: Any, typed: Mapping[str, Any]) -> list[str]:
    """What to say of those options that change nothing, without a full stop; `typed` has values by field."""
    return [
        f"--config.{field}={value} changes nothing here: {why}"
        for field, value in typed.items()
        if (why := why_idle(config, field))
    ]
