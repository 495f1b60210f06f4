"""What is known of each data set before any of it is read. Your own: one more entry of INFO (`softaug_jax.own`)."""

from __future__ import annotations

from typing import NamedTuple

from softaug_jax.checks import UsageError


class DatasetInfo(NamedTuple):
    """Facts of one data set. Mean and deviation are per channel, of pixels in [0, 1], on the training split."""

    name: str
    num_classes: int
    image_size: tuple[int, int]  # (H, W), in pixels
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    class_names: tuple[str, ...]  # empty if they are not kept here
    num_train: int
    num_test: int
    flip: bool  # whether a mirrored image is still of its class; a mirrored digit is not
    url: str = ""  # home page of its archive; empty if the set comes with a package
    encoded: bool = False  # image files of any size (data/image_set.py), of which the host cuts `image_size`

    def class_name(self, label: int) -> str:
        """What messages and figures call a class."""
        return self.class_names[label] if self.class_names else f"class {label}"


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

CIFAR100_CLASSES = _words(
    """
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle
    caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant
    flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree
    motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate
    poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider
    squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle
    wardrobe whale willow_tree wolf woman worm
    """
)

# The 20 superclasses of CIFAR-100. They are stored beside the fine labels and not trained on.
CIFAR100_COARSE_CLASSES = _words(
    """
    aquatic_mammals fish flowers food_containers fruit_and_vegetables household_electrical_devices household_furniture
    insects large_carnivores large_man-made_outdoor_things large_natural_outdoor_scenes large_omnivores_and_herbivores
    medium_mammals non-insect_invertebrates people reptiles small_mammals trees vehicles_1 vehicles_2
    """
)

# In the order of the folders' names, which are WordNet numbers.
IMAGENETTE_CLASSES = (
    "tench",
    "English springer",
    "cassette player",
    "chain saw",
    "church",
    "French horn",
    "garbage truck",
    "gas pump",
    "golf ball",
    "parachute",
)

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # what torchvision's networks are fed with

INFO = {
    "cifar10": DatasetInfo(
        name="cifar10",
        num_classes=10,
        image_size=(32, 32),
        channels=3,
        mean=(0.4914, 0.4822, 0.4465),
        std=(0.2470, 0.2435, 0.2616),
        class_names=CIFAR10_CLASSES,
        num_train=50_000,
        num_test=10_000,
        flip=True,
        url="https://www.cs.toronto.edu/~kriz/cifar.html",
    ),
    "cifar100": DatasetInfo(
        name="cifar100",
        num_classes=100,
        image_size=(32, 32),
        channels=3,
        mean=(0.5071, 0.4865, 0.4409),
        std=(0.2673, 0.2564, 0.2762),
        class_names=CIFAR100_CLASSES,
        num_train=50_000,
        num_test=10_000,
        flip=True,
        url="https://www.cs.toronto.edu/~kriz/cifar.html",
    ),
    "digits": DatasetInfo(
        name="digits",
        num_classes=10,
        image_size=(8, 8),
        channels=1,
        mean=(0.3054,),
        std=(0.3758,),
        class_names=tuple("0123456789"),
        num_train=1_437,
        num_test=360,
        flip=False,
    ),
    "imagenet": DatasetInfo(
        name="imagenet",
        num_classes=1000,
        image_size=(224, 224),
        channels=3,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        class_names=(),
        num_train=1_281_167,
        num_test=50_000,
        flip=True,
        url="https://image-net.org",
        encoded=True,
    ),
    # Ten easily told classes of ImageNet, by fast.ai: to try the same pipeline on real images in a small way.
    "imagenette": DatasetInfo(
        name="imagenette",
        num_classes=10,
        image_size=(224, 224),
        channels=3,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        class_names=IMAGENETTE_CLASSES,
        num_train=9_469,
        num_test=3_925,
        flip=True,
        url="https://github.com/fastai/imagenette",
        encoded=True,
    ),
}


def training_images(about: DatasetInfo, images_per_class: int) -> int:
    """How many images are trained on, if it is so many of each class; 0: all."""
    return images_per_class * about.num_classes or about.num_train


def info(name: str) -> DatasetInfo:
    """Returns the facts of the data set `name`; raises UsageError with the choices if there is none."""
    try:
        return INFO[name]
    except KeyError:
        raise UsageError(f"The data set {name!r} is unknown. Choose from {', '.join(INFO)}.") from None
