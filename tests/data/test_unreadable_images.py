"""Files that can't be read: another takes their place in training, evaluation masks them, and each is named once."""

import itertools

import jax
import numpy as np
import pytest

from softaug_jax.checks import UsageError
from softaug_jax.data.image_batches import EvalImages
from softaug_jax.data.image_filling import Unreadable
from softaug_jax.train import sharding
from tests.data.image_sets import HARD, InMemory, take
from tests.data.made_images import encode


def broken_set(files=12, broken=(3, 4, 11)):
    """Plain colours, one a file, and in the place of some nothing that can be read."""
    images = [encode(np.full((20, 20, 3), 20 * i, np.uint8), "PNG") for i in range(files)]
    for i, wrong in zip(broken, itertools.cycle([b"", images[0][:45], PermissionError("no permission")])):
        images[i] = wrong
    return InMemory(images)


def test_an_unreadable_file_is_replaced_by_the_next_and_named_once(capsys):
    images = broken_set()
    whole = broken_set(broken=())
    ours, expected = (take(4, s, HARD, batch_size=6) for s in (images, whole))  # two epochs
    replacement = {3: 5, 4: 5, 11: 0}
    for batch, other in zip(ours, expected, strict=True):
        labels = [replacement.get(label, label) for label in other["label"].tolist()]
        assert batch["label"].tolist() == labels
        np.testing.assert_array_equal(
            batch["image"], np.broadcast_to(20 * batch["label"][:, None, None, None], batch["image"].shape)
        )
        np.testing.assert_array_equal(batch["crop"], other["crop"])
    said = capsys.readouterr().err.splitlines()
    assert sorted(line.split(":")[0] for line in said) == ["skipped file 11", "skipped file 3", "skipped file 4"]
    assert any("no permission" in line for line in said)
    assert sum("(3 unreadable so far)" in line for line in said) == 1
    parts = [take(4, images, HARD, process_index=i, process_count=2) for i in range(2)]
    for step in range(4):
        np.testing.assert_array_equal(np.concatenate([part[step]["label"] for part in parts]), ours[step]["label"])


def test_unreadable_files_can_be_refused():
    with pytest.raises(UsageError, match=r"file (3|4|11) can't be read"):
        take(2, broken_set(), HARD, batch_size=12, unreadable=Unreadable(broken_set(), skip=False))
    with pytest.raises(UsageError, match="Is the set damaged?"):
        take(1, broken_set(broken=range(12)), HARD)


def test_evaluation_masks_what_can_not_be_read(capsys):
    batches = EvalImages(broken_set(), 8, sharding.over().batch, 14, 16, num_threads=2)
    for _ in range(2):
        masks = np.concatenate([jax.device_get(batch["mask"]) for batch in batches])
        assert np.flatnonzero(~masks).tolist() == [3, 4, 11, 12, 13, 14, 15]
    assert len(batches.unreadable) == 3
    assert capsys.readouterr().err.count("skipped file") == 3
    with pytest.raises(UsageError, match="file 3 can't be read"):
        list(EvalImages(broken_set(), 8, sharding.over().batch, 14, 16, num_threads=1, skip_unreadable=False))
