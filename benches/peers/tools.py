"""The tools of each place, by name, in the order in which a round goes through them."""

from . import bucket, directory
from .places import PLACES, TREE


def table(place):
    """Of one place."""
    if place == TREE:
        found = directory.trees()
    elif PLACES[place].delay is None:
        found = directory.datasets()
    else:
        found = bucket.tools()
    return {tool.name: tool for tool in found}


def names():
    """All names there are."""
    return list(dict.fromkeys(name for place in PLACES for name in table(place)))
