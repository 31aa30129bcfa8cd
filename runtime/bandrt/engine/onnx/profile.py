"""Sizes of the batches that a model takes on a GPU: any, or those that it is compiled for."""

from __future__ import annotations

import dataclasses

from bandrt.contract import known_sizes
from bandrt.engine.onnx.providers import Provider, Ranges
from bandrt.engine.shapes import BatchShape, input_axes
from bandrt.manifest import Bucket, Manifest, Profile

ANY = 1 << 20
"""Crystals or atoms: no batch has more."""
COMPILED_ATOMS, COMPILED_CRYSTALS = 128, 64
"""What a model is compiled for by the providers that do that."""
USUAL_ATOMS = 16
"""Of a crystal, for which it is fastest."""
MOST_SLOTS = 128
"""Neighbours of an atom, where their number is not the graph recipe's."""


def profile_of(manifest: Manifest, provider: Provider) -> Profile:
    """What batches are padded within: anything, or what the model is compiled for.

    Args:
        manifest: what the model says of itself.
        provider: what runs it.
    """
    slots = None if "D" in known_sizes(manifest) else MOST_SLOTS if provider.compiles else ANY
    if not provider.compiles:
        return dataclasses.replace(manifest.profile, max_slots=slots, buckets=(Bucket(1, ANY, 1, ANY),))
    bucket = Bucket(1, COMPILED_ATOMS, 1, COMPILED_CRYSTALS)
    return Profile(COMPILED_ATOMS, COMPILED_CRYSTALS, slots, (bucket,))


def ranges_of(manifest: Manifest) -> Ranges:
    """Shapes of the inputs that a model is compiled for.

    Args:
        manifest: what it says of itself, with the profile that it has by `profile_of`.
    """
    least = manifest.recipe.graph.n_neighbors
    most = manifest.profile.max_slots or least
    shapes = (
        BatchShape(0, 1, 1, least),
        BatchShape(0, COMPILED_CRYSTALS, USUAL_ATOMS, least),
        BatchShape(0, COMPILED_CRYSTALS, COMPILED_ATOMS, most),
    )
    small, usual, large = (input_axes(manifest, shape) for shape in shapes)
    return {name: (small[name], usual[name], large[name]) for name in manifest.inputs}
