"""The paper's numbers: some read off its pages by hand, and what its text says of them."""

import pytest

from softaug_jax.checks import UsageError
from softaug_jax.report import RESULTS, lookup


def test_numbers_read_off_the_tables():
    assert lookup("cifar100", "resnet18", "Soft Augmentation")[-2:] == (18.31, 0.17)
    assert lookup("cifar100", "resnet18", "Mixup (Kim et al.)")[-2:] == (22.43, None)
    assert lookup("cifar10", "PyramidNet + ShakeDrop", "SA+RA")[-2:] == (2.02, 0.01)
    assert lookup("ImageNet-V2", "ResNet-101", "RA")[-2:] == (32.08, 0.19)
    assert lookup("cifar10", "WideResNet-28", "SA+TA", metric="ece")[-2:] == (0.61, 0.10)
    assert lookup("cifar100", "WideResNet-28", "Baseline")[-2:] == (18.60, 0.19)
    assert lookup("cifar100", "WideResNet-28", "Baseline", table=3)[-2:] == (18.60, 0.16)
    assert lookup("cifar100", "SimSiam ResNet-18", "SA#2")[-2:] == (37.39, 0.06)


def test_the_tables_are_whole():
    assert [sum(result.table == table for result in RESULTS) for table in (1, 2, 3, 4)] == [16, 56, 26, 5]
    keys = [result[:5] for result in RESULTS]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize(
    ("dataset", "model", "method", "printed"),
    [
        ("Cifar-100", "EfficientNet-B0", "SA", -7.57),
        ("Cifar-100", "ResNet-50", "SA+RA", -3.46),
        ("Cifar-10", "ResNet-18", "RA", -0.49),
        ("Cifar-10", "WideResNet-28", "SA+RA", -1.20),  # the paper rounds -1.22 so
        ("ImageNet-1K", "ResNet-50", "SA+RA", -1.35),
        ("ImageNet-V2", "ResNet-101", "SA", -0.87),
    ],
)
def test_improvements_are_those_the_paper_prints(dataset, model, method, printed):
    difference = lookup(dataset, model, method).mean - lookup(dataset, model, "Baseline").mean
    assert difference == pytest.approx(printed, abs=0.025)


def test_what_the_paper_lacks_is_listed():
    with pytest.raises(UsageError, match="ResNet-50 on Cifar-10"):
        lookup("digits", "resnet18", "SA")
    with pytest.raises(UsageError, match=r"Cutout \(top1_error, table 1\)"):
        lookup("cifar100", "resnet18", "SA+TA")
