"""Which fields of a valid config change nothing, as its other fields are: an option for one easily misleads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any

from softaug_jax.data.info import INFO
from softaug_jax.softening import HYPOTHESES, MODES
from softaug_jax.tasks.augmentations import CROPS, ERASERS, POLICIES

Condition = Callable[[Any], str]  # of a config: why the field changes nothing, as a clause; "" if it acts


def has(field: str, *values: Any) -> Condition:
    """Another field has one of these values."""
    of = attrgetter(field)
    return lambda config: "" if of(config) in values else f"config.{field} is {of(config)!r}"


def has_not(field: str, *values: Any) -> Condition:
    """Another field has none of these values."""
    of = attrgetter(field)
    return lambda config: "" if of(config) not in values else f"config.{field} is {of(config)!r}"


def is_not(field: str, number: float) -> Condition:
    """Another field is not this number."""
    of = attrgetter(field)
    return lambda config: "" if of(config) != number else f"config.{field} is {number:g}"


def evaluates(*names: str) -> Condition:
    """One of these is among the evaluations, during the training or at its end."""
    listed = " or ".join(map(repr, names))

    def why_not(config: Any) -> str:
        if {*config.evals.final} & {*names}:
            return ""
        if not {*config.evals.periodic} & {*names}:
            return f"neither config.evals.periodic nor config.evals.final has {listed}"
        why_never = is_due(config)
        return why_never and f"config.evals.final has no {listed}, and {why_never}"

    return why_not


def both(*conditions: Condition) -> Condition:
    """All of them hold."""
    return lambda config: next(filter(None, (why_not(config) for why_not in conditions)), "")


def crops(*kinds: str) -> Condition:
    """The crop is one of these, or of the user's own, which may take any field; and on in some epoch."""
    is_one = lambda config: "" if CROPS.is_own(config.augment.crop) else has("augment.crop", *kinds)(config)
    return both(is_one, is_on)


def is_on(config: Any) -> str:
    """The crop is not left out from the first epoch on."""
    left_out = config.augment.uncropped_final_epochs
    return "" if left_out < config.epochs else f"config.augment.uncropped_final_epochs is {left_out}, all epochs"


def moves(config: Any) -> str:
    """The crop is none of no pixels."""
    return is_not("augment.pad_px", 0)(config) if config.augment.crop == "hard" else ""


def erases(config: Any) -> str:
    """Erasing at random is not for no image."""
    return is_not("augment.erase_probability", 0)(config) if config.augment.erase in ("random", "soft_random") else ""


def mixes(config: Any) -> str:
    """CutMix is not for no batch."""
    return is_not("augment.mix_probability", 0)(config) if config.augment.mix == "cutmix" else ""


def hides(config: Any) -> str:
    """Some augmentation says that it has left less than all of an image visible."""
    own = ERASERS.is_own(config.augment.erase) or POLICIES.is_own(config.augment.policy)  # which may hide something
    why_no_crop, why_no_erasing = CROPS_SOFTLY(config), ERASES_SOFTLY(config)
    if not (why_no_crop and why_no_erasing) or own or softens_otherwise(config) or "noise" in config:
        return ""
    return f"every image counts as whole, as {why_no_crop} and {why_no_erasing}"


def softens_otherwise(config: Any) -> bool:
    """By a rule of the user's own, which may do anything."""
    return config.soften.mode not in MODES


def bends(config: Any) -> str:
    """The confidence is not the same at every visibility."""
    if config.soften.p_min != config.soften.p_max or softens_otherwise(config):
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


def recolours(config: Any) -> str:
    """Some strength of the jitter is not 0, of those that act on the images' channels."""
    strengths = ("brightness", "contrast", *(() if in_colour(config) else ("saturation", "hue")))
    if any(config.views[name] for name in strengths):
        return ""
    return f"{', '.join(f'config.views.{name}' for name in strengths)} are 0"


def weighs_otherwise(config: Any) -> bool:
    """Pairs, by a rule of the user's own, which may do anything."""
    return config.pairs.hypothesis not in ("none", *HYPOTHESES)


def weighs(config: Any) -> str:
    """The least weight of a pair is not the largest, too."""
    return "" if weighs_otherwise(config) else is_not("pairs.p_min", 1)(config)


def tells_apart(config: Any) -> str:
    """Pairs differ in their overlap, as those of whole images do not."""
    return "" if weighs_otherwise(config) else CUTS(config)


def overlaps(config: Any) -> str:
    """Some pair has another weight than without a hypothesis: of whole images all have the same."""
    is_scaled = config.pairs.hypothesis == "sa2" and config.pairs.method == "simsiam"  # by p_min
    return "" if is_scaled else tells_apart(config)


def covers(config: Any) -> str:
    """The occlusion's square is not always empty."""
    return "" if any(config.evals.occlusion_shares) else "config.evals.occlusion_shares are 0"


def shows_fill(config: Any) -> str:
    """Something is covered by the occlusion's fill."""
    return HIDES_FOR_SCORES(config) and covers(config)


def in_between(config: Any) -> str:
    """Something may be evaluated before the end."""
    return is_not("epochs", 1)(config) if config.evals.periodic else "config.evals.periodic is empty"


def is_due(config: Any) -> str:
    """The interval of the evaluations ends before the training."""
    every, epochs = config.eval_every_epochs, config.epochs
    return "" if every < epochs else f"config.eval_every_epochs is {every} and config.epochs {epochs}"


CROPS_SOFTLY = crops("soft", "soft_resized")
ERASES_SOFTLY = both(has("augment.erase", "soft_random"), erases)
IS_SOFT = both(has_not("soften.mode", "none"), aims)
WEIGHTS = has_not("soften.mode", "none", "target")
SHIFTS = both(crops("soft", "hard"), moves)
JITTERS = is_not("views.jitter_probability", 0)
CUTS = is_not("views.scale_min", 1)
VARIES = both(has("model.head", "sngp"), is_not("sngp.mean_field", 0))
HIDES_FOR_SCORES = evaluates("energy", "density")

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
    "augment.uncropped_final_epochs": both(has_not("augment.crop", "none"), moves),
    "augment.erase": erases,
    "augment.cutout_px": has("augment.erase", "cutout"),
    "augment.erase_probability": has("augment.erase", "random", "soft_random"),
    "augment.mix": mixes,
    "augment.mix_alpha": both(has("augment.mix", "mixup", "cutmix"), mixes),
    "augment.mix_probability": has("augment.mix", "cutmix"),
    "soften.mode": both(softens, aims),
    "soften.k": both(IS_SOFT, bends, hides),
    "soften.p_min": both(IS_SOFT, hides),
    "soften.p_max": IS_SOFT,
    "loss.weighting": both(WEIGHTS, bends, hides),
    "loss.normalize_weights": both(WEIGHTS, softens),
    "sngp.ridge": VARIES,
    "sngp.momentum": VARIES,
    "sngp.": has("model.head", "sngp"),
    "duq.": has("model.head", "duq"),
    "model.predictor_dim": has("pairs.method", "simsiam"),
    "pairs.redundancy": has("pairs.method", "barlow_twins"),
    "pairs.hypothesis": both(weighs, overlaps),
    "pairs.k": both(has_not("pairs.hypothesis", "none"), weighs, tells_apart),
    "pairs.p_min": both(has_not("pairs.hypothesis", "none"), overlaps),
    "views.jitter_probability": recolours,
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
    "evals.periodic": is_due,
    "evals.num_bins": evaluates("calibration", "v2", "probe"),
    "evals.occlusion_shares": evaluates("occlusion"),
    "evals.occlusion_draws": both(evaluates("occlusion"), covers),
    "evals.occlusion_fill": both(evaluates("occlusion", "energy", "density"), shows_fill),
    "evals.knn_temperature": both(evaluates("knn"), is_not("evals.knn_k", 1)),
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
