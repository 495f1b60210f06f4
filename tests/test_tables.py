"""The tables' cells against the paper's numbers, and against what their configs say."""

import json

import pytest

from configs import tables
from softaug_jax.report import RESULTS, lookup
from softaug_jax.run_files import flatten

ALL = [cell for table in tables.TABLES for cell in tables.cells(table)]


def fields(cell, **kwargs):
    return flatten(json.loads(json.dumps(cell.build(**kwargs).to_dict())))


def of(table, method, **kwargs):
    (cell,) = tables.cells(table, methods=[method], **kwargs)
    return cell


def test_every_key_finds_its_number():
    keys = [cell.paper for cell in ALL if cell.paper]
    for key in keys:
        found = lookup(key.dataset, key.model, key.method, table=key.table)
        assert found[:4] == tuple(key), "spelt as in paper.py"


def test_every_number_of_the_authors_own_has_a_cell():
    named = {cell.paper for cell in ALL}
    others = ("(Zhang et al.)", "(DeVries and Taylor)", "(Kim et al.)")
    own = {tuple(result[:4]) for result in RESULTS if result.table in (1, 2, 4) and not result.method.endswith(others)}
    assert len(own) == 10 + 56 + 5
    assert own <= named


def test_table_2_is_read_as_in_the_paper():
    cell = of("table2", "SA+RA", datasets=["cifar10"], models=["pyramidnet272"])
    key = cell.paper
    assert lookup(key.dataset, key.model, key.method, table=2).mean == 2.02
    assert cell.argument(30, 2) == "model=pyramidnet272,policy=randaugment,epochs=30,seed=2"


def test_table_4_is_read_as_in_the_paper():
    cell = of("table4", "SA#2", datasets=["cifar100"])
    assert lookup(*cell.paper[1:], table=4).mean == 37.39
    assert cell.argument(epochs=100) == (
        "model=resnet18,dataset=cifar100,hypothesis=sa2,learning_rate=0.1,epochs=100,seed=0"
    )
    assert of("table4", "SA#2", datasets=["cifar10"]).paper is None
    assert {cell.paper for cell in tables.cells("barlow_twins")} == {None}


def test_imagenet_v2_is_a_test_of_the_networks_trained_on_imagenet():
    one, two = (tables.cells("table2", [dataset], ["resnet50"]) for dataset in ("imagenet", "imagenet_v2"))
    assert [cell.config for cell in two] == [cell.config for cell in one] == ["imagenet_baseline", "imagenet_sa"] * 2
    assert [fields(cell) for cell in two] == [fields(cell) for cell in one]
    assert {cell.trained_on for cell in two} == {"imagenet"} and {cell.prefix for cell in two} == {"v2/"}


def test_what_nothing_trains_says_why():
    waiting = [(cell.dataset, cell.method, cell.reason) for cell in ALL if cell.config is None]
    reason = "5-Ensemble is made from five finished Baselines: configs/calibration.py"
    assert waiting == [(dataset, "5-Ensemble", reason) for dataset in ("cifar100", "cifar10")]


@pytest.mark.parametrize("table", tables.TABLES)
def test_cells_of_a_table_train_different_things_on_what_they_name(table):
    cells = [cell for cell in tables.cells(table) if cell.config]
    built = [fields(cell, epochs=50, seed=3) for cell in cells]
    for cell, config in zip(cells, built, strict=True):
        assert (config["dataset"], config["model.name"]) == (cell.trained_on or cell.dataset, cell.model)
        assert (config["epochs"], config["seed"]) == (50, 3)
    unique = {json.dumps({name: v for name, v in config.items() if name != "name"}) for config in built}
    assert len(unique) == len([cell for cell in cells if not cell.trained_on])


def test_a_slug_is_one_training_in_all_tables():
    by_slug = {}
    for cell in ALL:
        key = (cell.dataset, cell.model, cell.slug)
        assert by_slug.setdefault(key, cell[4:6]) == cell[4:6]


@pytest.mark.parametrize(
    ("table", "method", "expected"),
    [
        ("table1", "Label Smoothing", {"soften.mode": "target", "soften.p_min": 0.9, "augment.crop": "hard"}),
        ("table1", "focal5", {"loss.focal_gamma": 5.0}),
        ("table1", "RandAugment", {"augment.policy": "randaugment", "augment.crop": "hard"}),
        ("table1", "soft augmentation", {"augment.crop": "soft", "soften.mode": "target_and_weight"}),
        ("table4", "Baseline", {"pairs.method": "simsiam", "pairs.hypothesis": "none"}),
        ("table4", "SA#1", {"pairs.hypothesis": "sa1", "pairs.k": 4.0, "pairs.p_min": 0.0}),
        ("barlow_twins", "SA#2", {"pairs.method": "barlow_twins", "pairs.hypothesis": "sa2"}),
        ("extras", "Hard crop 16 px", {"augment.pad_px": 16, "augment.crop": "hard", "soften.mode": "none"}),
        ("extras", "SA, weight only", {"augment.crop": "soft", "soften.mode": "weight"}),
        ("extras", "Soft crop, hard targets", {"augment.crop": "soft", "soften.mode": "none"}),
        ("extras", "Soft crop, Label Smoothing", {"augment.crop": "soft", "soften.p_min": 0.9, "soften.p_max": 0.9}),
        ("extras", "SA+CutMix", {"augment.crop": "soft", "augment.mix": "cutmix", "soften.mode": "target_and_weight"}),
        ("extras", "SA+TA", {"augment.crop": "soft", "augment.policy": "trivialaugment"}),
        ("extras", "Random Erasing", {"augment.erase": "random", "soften.mode": "none"}),
        ("extras", "Soft Random Erasing", {"augment.erase": "soft_random", "soften.mode": "target", "soften.k": 1.0}),
    ],
)
def test_methods_are_what_they_are_called(table, method, expected):
    config = fields(of(table, method, datasets=["cifar100"]))
    assert {name: config[name] for name in expected} == expected


def test_what_the_paper_lacks_has_no_key():
    assert {cell.paper for cell in tables.cells("table1", ["cifar10"])} == {None}
    assert {cell.paper for cell in tables.cells("table2", ["cifar10"], ["resnet8"])} == {None}
    assert len(tables.cells("table2", ["cifar10"], ["resnet8"])) == 4
    assert of("extras", "SA+TA", datasets=["cifar10"]).paper is None
    assert of("extras", "SA+TA", datasets=["cifar10"], models=["wideresnet28_10"]).paper.table == 3


def test_unknown_names_list_the_choices():
    with pytest.raises(
        ValueError, match="'table5' is unknown. Choose from table1, table2, table3, table4, barlow_twins, extras"
    ):
        tables.cells("table5")
    with pytest.raises(ValueError, match="--dataset=digits is not in table1. Choose from cifar100, cifar10"):
        tables.cells("table1", ["digits"])
    with pytest.raises(
        ValueError, match=r"--method=TA is not in table2. Choose from: Baseline; SA; RA; SA\+RA or sa_ra"
    ):
        tables.cells("table2", methods=["TA"])
