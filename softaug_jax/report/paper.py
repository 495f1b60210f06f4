"""The paper's results as data (arXiv:2211.04625, Tables 1 to 4), to set ours beside them.

Means and standard errors are in percent. The authors' own are of three runs; those that they quote from others name
their source in Table 1, and are the five without a standard error in Table 3.
"""

from __future__ import annotations

from typing import NamedTuple

from softaug_jax.checks import UsageError


class PaperResult(NamedTuple):
    """One number of the paper; names are spelt as there."""

    table: int
    dataset: str
    model: str
    method: str
    metric: str  # "top1_error" or "ece"
    mean: float  # %
    standard_error: float | None  # %; None where the paper gives none

    def __str__(self) -> str:
        error = "" if self.standard_error is None else f" ± {self.standard_error:.2f}"
        return f"{self.mean:.2f}{error} %"


# Table 1: ResNet-18 on Cifar-100. A name in brackets is whose figure it is, where it is not the authors' own.
_TABLE_1: tuple[tuple[str, float, float | None], ...] = (
    ("Baseline (Zhang et al.)", 25.6, None),
    ("Baseline (DeVries and Taylor)", 22.46, 0.31),
    ("Baseline (Kim et al.)", 23.59, None),
    ("Baseline", 20.80, 0.11),
    ("Mixup (Zhang et al.)", 21.1, None),
    ("Mixup (Kim et al.)", 22.43, None),
    ("Mixup", 19.88, 0.38),
    ("Cutout (DeVries and Taylor)", 21.96, 0.24),
    ("Cutout", 20.51, 0.02),
    ("Label Smoothing", 19.47, 0.18),
    ("Online Label Smoothing", 20.12, 0.05),
    ("Focal Loss (alpha = 1)", 20.45, 0.08),
    ("Focal Loss (alpha = 2)", 20.38, 0.08),
    ("Focal Loss (alpha = 5)", 20.69, 0.17),
    ("RandAugment", 20.99, 0.11),
    ("Soft Augmentation", 18.31, 0.17),
)

_TABLE_2_METHODS = ("Baseline", "SA", "RA", "SA+RA")
_TABLE_2: dict[tuple[str, str], tuple[tuple[float, float], ...]] = {
    ("Cifar-100", "EfficientNet-B0"): ((49.70, 1.55), (42.13, 0.45), (46.68, 1.52), (38.72, 0.71)),
    ("Cifar-100", "ResNet-18"): ((20.80, 0.11), (18.31, 0.17), (20.99, 0.11), (18.10, 0.20)),
    ("Cifar-100", "ResNet-50"): ((20.18, 0.30), (18.06, 0.24), (18.57, 0.09), (16.72, 0.06)),
    ("Cifar-100", "WideResNet-28"): ((18.60, 0.19), (16.47, 0.18), (17.65, 0.14), (15.37, 0.17)),
    ("Cifar-100", "PyramidNet + ShakeDrop"): ((15.77, 0.17), (14.03, 0.05), (14.02, 0.28), (12.78, 0.16)),
    ("Cifar-10", "EfficientNet-B0"): ((17.73, 0.69), (12.21, 0.22), (14.54, 0.47), (11.67, 0.26)),
    ("Cifar-10", "ResNet-18"): ((4.38, 0.05), (3.51, 0.08), (3.89, 0.06), (3.27, 0.08)),
    ("Cifar-10", "ResNet-50"): ((4.34, 0.14), (3.67, 0.08), (3.91, 0.14), (3.01, 0.02)),
    ("Cifar-10", "WideResNet-28"): ((3.67, 0.08), (2.85, 0.02), (3.26, 0.04), (2.45, 0.03)),
    ("Cifar-10", "PyramidNet + ShakeDrop"): ((2.86, 0.03), (2.26, 0.02), (2.32, 0.08), (2.02, 0.01)),
    # The paper has "< 0.01" for the first standard error.
    ("ImageNet-1K", "ResNet-50"): ((22.62, 0.01), (21.66, 0.02), (22.02, 0.02), (21.27, 0.05)),
    ("ImageNet-1K", "ResNet-101"): ((20.91, 0.04), (20.63, 0.03), (20.39, 0.07), (19.86, 0.03)),
    ("ImageNet-V2", "ResNet-50"): ((34.97, 0.03), (33.32, 0.10), (34.16, 0.21), (32.38, 0.16)),
    ("ImageNet-V2", "ResNet-101"): ((32.68, 0.04), (31.81, 0.16), (32.08, 0.19), (31.26, 0.12)),
}

# Table 3: WideResNet-28 for the last two rows; top-1 error and ECE on Cifar-100, then on Cifar-10.
_TABLE_3: dict[str, tuple[tuple[float, float | None] | None, ...]] = {
    "Energy-based": ((19.74, None), (4.62, None), (4.02, None), (0.85, None)),
    "DUQ": (None, None, (5.40, None), (1.55, None)),
    "SNGP": ((20.00, None), (4.33, None), (3.96, None), (1.80, None)),
    "DDU": ((19.02, None), (4.10, None), (4.03, None), (0.85, None)),
    "5-Ensemble": ((17.21, None), (3.32, None), (3.41, None), (0.76, None)),
    "Baseline": ((18.60, 0.16), (4.86, 0.10), (3.67, 0.07), (2.22, 0.03)),
    "SA+TA": ((14.24, 0.11), (1.76, 0.15), (2.23, 0.06), (0.61, 0.10)),
}
_TABLE_3_COLUMNS = (
    ("Cifar-100", "top1_error"),
    ("Cifar-100", "ece"),
    ("Cifar-10", "top1_error"),
    ("Cifar-10", "ece"),
)

# Table 4: SimSiam; learning rates 0.2, and 0.1 for SA#2.
_TABLE_4 = (
    ("Cifar-100", "Baseline", 37.64, 0.06),
    ("Cifar-100", "SA#1", 36.61, 0.05),
    ("Cifar-100", "SA#2", 37.39, 0.06),
    ("Cifar-10", "Baseline", 9.87, 0.03),
    ("Cifar-10", "SA#1", 9.31, 0.01),
)

RESULTS: tuple[PaperResult, ...] = (
    *(PaperResult(1, "Cifar-100", "ResNet-18", method, "top1_error", m, e) for method, m, e in _TABLE_1),
    *(
        PaperResult(2, dataset, model, method, "top1_error", *value)
        for (dataset, model), values in _TABLE_2.items()
        for method, value in zip(_TABLE_2_METHODS, values, strict=True)
    ),
    *(
        PaperResult(3, dataset, "WideResNet-28", method, metric, *value)
        for method, values in _TABLE_3.items()
        for (dataset, metric), value in zip(_TABLE_3_COLUMNS, values, strict=True)
        if value is not None
    ),
    *(PaperResult(4, dataset, "SimSiam ResNet-18", method, "top1_error", m, e) for dataset, method, m, e in _TABLE_4),
)


def lookup(
    dataset: str, model: str, method: str, *, metric: str = "top1_error", table: int | None = None
) -> PaperResult:
    """Finds one number; case, hyphens and spaces in names do not matter. Of several tables the first counts.

    Raises:
      UsageError: if the paper has no such number; the message lists what it has for the model on the data set.

    >>> print(lookup("cifar100", "resnet18", "SA"))
    18.31 ± 0.17 %
    """
    near = [r for r in RESULTS if _plain(r.dataset) == _plain(dataset) and _plain(r.model) == _plain(model)]
    for result in near:
        if _plain(result.method) == _plain(method) and result.metric == metric and table in (None, result.table):
            return result
    if not near:
        pairs = sorted({f"{r.model} on {r.dataset}" for r in RESULTS})
        raise UsageError(f"The paper has nothing on {model} on {dataset}. It has {', '.join(pairs)}.")
    known = ", ".join(f"{r.method} ({r.metric}, table {r.table})" for r in near)
    raise UsageError(f"The paper has no {metric} of {method!r} for {model} on {dataset}. It has {known}.")


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum() or letter in "+#")
