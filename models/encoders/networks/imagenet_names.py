"""What the classes of ImageNet are called."""

from timm.data import ImageNetInfo


def class_names() -> list[str]:
    """Return the names of the 1000 classes, by number, as WordNet lists them: `tench, Tinca tinca`."""
    return ImageNetInfo("imagenet-1k").label_descriptions()
