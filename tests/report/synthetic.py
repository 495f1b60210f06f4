"""Workdirs like those that training leaves, without training."""

import copy
import importlib
import json

import numpy as np

CONFIG = {
    "name": "digits_baseline",
    "dataset": "digits",
    "seed": 0,
    "epochs": 20,
    "batch_size": 64,
    "model": {"name": "resnet18"},
    "augment": {"crop": "hard", "sigma": 0.3, "pad_px": 1, "policy": "none"},
    "soften": {"mode": "none", "k": 2.0, "p_min": None, "p_max": 1.0},
    "data": {"dir": "", "download": True},
}
SOFT = {
    "name": "digits_sa",
    "augment": {"crop": "soft", "sigma": 0.3, "pad_px": 1, "policy": "none"},
    "soften": {"mode": "target_and_weight", "k": 2.0, "p_min": None, "p_max": 1.0},
}
METHODS = {
    "hard": "hard crop",
    "soft": "soft crop, target_and_weight",
    "random_resized": "random resized crop",
    "soft_resized": "soft crop and resize",
}


def make_run(workdir, *, changes=None, seed=0, top1_error=0.05, ece=0.02, finished=True, num_test=360, method=None):
    """Writes a workdir; returns its path and its summary."""
    rng = np.random.default_rng(seed + 100)
    config = {**copy.deepcopy(CONFIG), **(changes or {}), "seed": seed}
    workdir.mkdir(parents=True)
    (workdir / "config.json").write_text(json.dumps(config))
    final = {"top1_error": top1_error, "nll": 3.5 * top1_error, "brier": 1.4 * top1_error, "ece": ece}
    final |= _bins(rng, num_test, top1_error, ece)
    final |= {f"occlusion/top1_error@{s}%": min(0.9, top1_error * (1 + 0.15 * s)) for s in (0, 20, 40, 60, 80)}
    rows = []
    for epoch in range(1, config["epochs"] + 1):
        step, decay = 23 * epoch, np.exp(-epoch / 5) + 0.03 * rng.random()
        row = {"split": "train", "step": step, "epoch": float(epoch), "loss": 0.4 + 2 * decay}
        rows.append({**row, "top1_error": 0.1 + 0.7 * decay, "visibility": 0.7, "weight": 0.9, "learning_rate": 0.1})
        row = {"split": "test", "step": step, "epoch": float(epoch), "nll": 3.5 * (top1_error + decay)}
        rows.append({**row, "top1_error": min(0.9, top1_error + decay)})
    rows[-1].update(final)
    (workdir / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    summary = {
        "config": config["name"],
        "dataset": config["dataset"],
        "method": method or METHODS[config["augment"]["crop"]],
        "model": config["model"]["name"],
        "seed": seed,
        "steps": 23 * config["epochs"],
        "num_train": 1437,
        "num_test": num_test,
        "best_top1_error": top1_error,
        "examples_per_second": 1000.0 + seed,
        "wall_seconds": 60.0,
        **final,
    }
    if finished:
        (workdir / "summary.json").write_text(json.dumps(summary))
    return workdir, summary


def put(workdir, config="cifar10_baseline", arg="", top1_error=0.05, fields=None, **options):
    """A finished run of a config, as main.py would leave it."""
    built = importlib.import_module(f"configs.{config}").get_config(arg)
    built.update_from_flattened_dict(fields or {})
    made = make_run(workdir, changes=built.to_dict(), seed=built.seed, top1_error=top1_error, **options)
    (workdir / "config.json").write_text(json.dumps(built.to_dict()))
    return made


def _bins(rng, num_test, top1_error, ece):
    """Ten bins, most examples in the last, each too sure by the ECE."""
    counts = rng.multinomial(num_test, np.r_[0, 0, np.linspace(0.3, 1, 7) * 0.04, 0.8] / (0.04 * 4.55 + 0.8))
    confidence = (np.arange(10) + 0.5) / 10
    return {
        "calibration/bin_counts": counts.astype(float).tolist(),
        "calibration/bin_confidence_sums": (counts * confidence).tolist(),
        "calibration/bin_accuracy_sums": (counts * np.clip(confidence - ece, 0, 1)).tolist(),
    }
