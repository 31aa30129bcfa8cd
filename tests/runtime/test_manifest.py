"""A manifest reads back as it was written, and nothing else passes for one."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from bandrt.errors import ManifestError
from bandrt.manifest import BandRule, Manifest, ParityReport, Profile, TrainingDomain
from bandrt.recipe import GraphRecipe, KpathRecipe, MeshRecipe, Recipe

MANIFEST = Manifest(
    variant="paper",
    model={"d_model": 192, "layers": [1, 2]},
    checkpoint_sha256="ab" * 32,
    recipe=Recipe(graph=GraphRecipe(n_neighbors=32, tie_rule="complete_shells"), kpath=KpathRecipe(scheme="setyawan_curtarolo")),
    bands=BandRule(metal_tolerance_ev=0.2),
    inputs=("atomic_numbers", "kpoints"),
    outputs=("band_energies",),
    profile=Profile(max_atoms=64),
    training=TrainingDomain(n_crystals=3, elements=("Si", "O"), metrics={"validation/energy_mae": 0.5}),
    parity=ParityReport("torch", 2, (1, 4), (1, 8), 1e-6, 1e-7, 0.0, 0, 1e-4),
)


def test_a_manifest_reads_back_equal() -> None:
    assert Manifest.from_json(MANIFEST.to_json()) == MANIFEST


def test_a_manifest_of_a_version_that_knew_no_hamiltonian_reads_as_it_did() -> None:
    values = json.loads(MANIFEST.to_json())
    del values["solver"], values["recipe"]["mesh"], values["recipe"]["graph"]["rule"], values["recipe"]["graph"]["reach"]
    assert Manifest.from_json(json.dumps(values)) == MANIFEST


def test_a_manifest_of_a_hamiltonian_reads_back_equal() -> None:
    recipe = Recipe(graph=GraphRecipe(rule="bonds", reach=2.0), mesh=MeshRecipe(spacing=0.5, most=4))
    manifest = replace(MANIFEST, variant="hamiltonian", solver="lapack", recipe=recipe)
    assert Manifest.from_json(manifest.to_json()) == manifest


def test_a_mesh_of_a_version_that_knew_no_rotations_is_what_it_was() -> None:
    recipe = Recipe(graph=GraphRecipe(rule="bonds"), mesh=MeshRecipe())
    values = json.loads(replace(MANIFEST, variant="hamiltonian", solver="lapack", recipe=recipe).to_json())
    values["recipe"]["mesh"] = {"spacing": 0.45, "most": 6}
    read = Manifest.from_json(json.dumps(values)).recipe.mesh
    assert read == MeshRecipe(spacing=0.45, most=6, symmetry="time_reversal", kept=None, smearing=0.15)


def test_equal_manifests_give_equal_text() -> None:
    assert replace(MANIFEST).to_json() == MANIFEST.to_json()


@pytest.mark.parametrize(
    ("change", "code", "names"),
    [
        ({"format_version": 99}, "manifest-version", "99"),
        ({"format_version": None}, "manifest-version", "None"),
        ({"variant": "transformer"}, "manifest-invalid", "'transformer', allowed: 'paper'"),
        ({"colour": "red"}, "manifest-invalid", "colour"),
        ({"bands": {"n_bands": 6.5}}, "manifest-invalid", "bands.n_bands is 6.5, expected int"),
        ({"bands": {"n_bands": True}}, "manifest-invalid", "bands.n_bands is True, expected int"),
        ({"recipe": {"graph": {"cutoff": "8"}}}, "manifest-invalid", "recipe.graph.cutoff is '8', expected float"),
        ({"recipe": 3}, "manifest-invalid", "recipe is 3|recipe. is 3"),
        ({"inputs": "kpoints"}, "manifest-invalid", "inputs is 'kpoints'"),
    ],
)
def test_what_is_not_a_manifest_is_refused_by_the_name_of_the_key(change: dict[str, object], code: str, names: str) -> None:
    text = json.dumps({**json.loads(MANIFEST.to_json()), **change})
    with pytest.raises(ManifestError, match=names) as caught:
        Manifest.from_json(text, name="model.onnx")
    assert caught.value.code == code
    assert caught.value.message.startswith("model.onnx: ")


@pytest.mark.parametrize("text", ["", "{", "[]", "3"])
def test_text_that_is_no_object_is_refused(text: str) -> None:
    with pytest.raises(ManifestError) as caught:
        Manifest.from_json(text)
    assert caught.value.code == "manifest-invalid"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"layers": [', '"layers": [NaN, '),
        ('"d_model": 192', '"d_model": Infinity'),
        ('"d_model": 192', '"d_model": 1e999'),
        ('"cutoff": 8.0', '"cutoff": NaN'),
        ('"cutoff": 8.0', '"cutoff": -8.0'),
        ('"cutoff": 8.0', f'"cutoff": {10**400}'),
        ('"n_crystals": 3', '"n_crystals": -3'),
        ('"d_model": 192', '"d_model": ' + "[" * 100_000),
        ('"d_model": 192', '"d_model": ' + "9" * 10_000),
        ('"precision": "fp32"', '"precision": ["fp32"]'),
        ('"format_version": 1', '"format_version": true, "more": 1'),
    ],
)
def test_numbers_that_are_none_and_what_is_too_deep_are_refused_in_short(old: str, new: str) -> None:
    text = MANIFEST.to_json()
    changed = text.replace(old, new) if old in text else text.replace(old.replace("[", "[\n"), new)
    assert changed != text
    with pytest.raises(ManifestError) as caught:
        Manifest.from_json(changed)
    assert caught.value.code == "manifest-invalid"
    assert len(caught.value.message) < 300


def test_a_missing_field_is_named() -> None:
    values = json.loads(MANIFEST.to_json())
    del values["checkpoint_sha256"]
    with pytest.raises(ManifestError, match="checkpoint_sha256"):
        Manifest.from_json(json.dumps(values))
