"""Draw the pictures of the README and of the pages: ``python tools/pictures.py``.

All are by the engine `accurate`. The first is the non-metal whose error is the median of those that it has not learned, predicted
and by DFT: neither the best nor the worst. The second is a shortlist: the example crystals whose predicted gap lies nearest to
1.5 eV. The third is MgO: bands along a path, with the density of states beside them. The others show what `bandrt plot` makes, a
page and bands over DFT, and how errors fall with the number of training crystals.
"""

from __future__ import annotations

import gzip
import json
import tempfile
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import bandrt
from bandrt.bands.branches import branches, ticks
from bandrt.bands.lettering import pretty_formula, tick_texts
from bandrt.bands.page import draw_page
from bandrt.bands.reference import onto_path
from bandrt.computed.by_id import documents_of
from bandrt.outputs import band_structure
from bandrt.sources import find
from bandrt.spectra.bands import bands_along
from bandrt.spectra.dos import density_of_states
from bandrt.spectra.plot import draw_bands
from bandrt_train.data.builder import build_dataset
from bandrt_train.data.dataset import DatasetRecipe, Entry

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "docs" / "images"
PREDICTED, DFT = "#D55E00", "#333333"
_TO_ASCII = str.maketrans("", "", "${}_")
WANTED_GAP_EV, N_SHORTLISTED = 1.5, 6
AXES_INCHES = 2.8
"""Width of one of the three axes in a row of a picture."""


def main() -> None:
    """Draw all of them."""
    mpl.rcParams["svg.hashsalt"] = "bandrt"
    IMAGES.mkdir(parents=True, exist_ok=True)
    with bandrt.load("accurate", threads=1) as engine:
        for name, figure in (("predicted-beside-dft", predicted_beside_dft(engine)), ("shortlist", shortlist(engine))):
            figure.savefig(IMAGES / f"{name}.png", dpi=130, metadata={"Description": captions(figure)})
        for name, figure in (("page-of-crystals", page_of_crystals(engine)), ("over-dft", over_dft(engine))):
            figure.savefig(IMAGES / f"{name}.png", dpi=100, metadata={"Description": captions(figure)})
        figure = magnesia(engine)
        figure.savefig(IMAGES / "magnesia.png", dpi=130, metadata={"Description": captions(figure)})
    figure = learning_curve()
    figure.savefig(IMAGES / "learning-curve.png", dpi=100, metadata={"Description": captions(figure)})


def captions(figure: Figure) -> str:
    """The figures that a picture states, as its file carries them, for a test that compares them with the engine's."""
    return " / ".join([figure.get_suptitle(), *(axes.get_title() or axes.get_title(loc="left") for axes in figure.axes)]).translate(
        _TO_ASCII
    )


def predicted_beside_dft(engine: bandrt.Engine) -> Figure:
    """The median of the crystals that the engine has not learned, predicted beside its label and over it."""
    crystals = json.loads((ROOT / "train" / "results" / "accurate-held-out.json").read_text(encoding="utf-8"))["crystals"]
    known = [one for one in crystals if not one["is_metal"] and one["energy_ev"] is not None]
    median = sorted(known, key=lambda one: one["energy_ev"])[len(known) // 2]
    entry = labelled(median["id"], DatasetRecipe(engine.recipe, engine.manifest.bands))
    [result] = engine.predict([entry.features.crystal])
    assert isinstance(result, bandrt.Prediction)
    predicted = result.band_structure
    computed = band_structure(entry.features, entry.targets.energies, engine.manifest.bands)
    figure = Figure(figsize=(9.6, 3.9), layout="constrained")
    axes = figure.subplots(1, 3, sharey=True)
    lines(axes[0], predicted, PREDICTED)
    axes[0].set_title("predicted", fontsize=10)
    lines(axes[1], computed, DFT)
    axes[1].set_title("DFT-PBE", fontsize=10)
    lines(axes[2], computed, DFT)
    lines(axes[2], predicted, PREDICTED)
    axes[2].set_title("both", fontsize=10)
    axes[0].set_ylabel("energy (eV)")
    figure.suptitle(
        f"{pretty_formula(predicted.crystal.formula)}, never trained on: gap {predicted.band_gap:.2f} eV predicted,"
        f" {entry.targets.band_gap:.2f} eV by DFT; energies {median['energy_ev']:.2f} eV off on average"
        f" (the median of {len(known)} such non-metals)",
        fontsize=10,
    )
    return figure


def shortlist(engine: bandrt.Engine) -> Figure:
    """The examples with the predicted gaps nearest to the one that is wanted."""
    found = [result for result in engine.predict(find([ROOT / "examples" / "crystals"])) if isinstance(result, bandrt.Prediction)]
    found.sort(key=lambda one: abs(one.band_structure.band_gap - WANTED_GAP_EV))
    figure = Figure(figsize=(9.6, 5.0), layout="constrained")
    for axes, one in zip(figure.subplots(2, N_SHORTLISTED // 2).flat, found[:N_SHORTLISTED], strict=True):
        bands = one.band_structure
        lines(axes, bands, PREDICTED)
        kind = "direct" if bands.is_direct else "indirect"
        formula, gap = pretty_formula(bands.crystal.formula), f"{bands.band_gap:.2f} eV {kind}"
        axes.set_title(f"{formula}  {gap}, error {one.uncertainty_ev:.1f} eV", fontsize=9)
        axes.tick_params(labelsize=8)
    figure.supylabel("energy (eV)", fontsize=9)
    figure.suptitle(
        f"Gap near {WANTED_GAP_EV} eV: first of {len(found)} examples, with the error that the engine expects", fontsize=10
    )
    return figure


def page_of_crystals(engine: bandrt.Engine) -> Figure:
    """Four of the examples, a metal among them."""
    names = ("AlAs_mp-2172.cif", "MgO_mp-1265.vasp", "MoS2_mp-2815.vasp", "CuAu_mp-522.vasp")
    found = engine.predict([ROOT / "examples" / "crystals" / name for name in names])
    bands = [one.band_structure for one in found if isinstance(one, bandrt.Prediction)]
    figure: Figure = draw_page(bands, names=[name.partition(".")[0] for name in names], columns=2, zero="vbm")
    return figure


def over_dft(engine: bandrt.Engine) -> Figure:
    """GaAs in the structure of wurtzite, which the engine has not learned, over its label."""
    [found] = engine.predict([ROOT / "examples" / "crystals" / "GaAs_mp-8883.cif"])
    assert isinstance(found, bandrt.Prediction)
    document = documents_of(ROOT / "train" / "labels", ["mp-8883"])["mp-8883"]
    bands = found.band_structure
    figure: Figure = draw_page([bands], references=[onto_path(document, bands)], names=["GaAs_mp-8883"])
    return figure


def magnesia(engine: bandrt.Engine) -> Figure:
    """Bands of MgO, with the density of states by element."""
    found = engine.hamiltonian(ROOT / "examples" / "crystals" / "MgO_mp-1265.vasp")
    figure: Figure = draw_bands([bands_along(found, "G-X-W-K-G|U-L")], [density_of_states(found)])
    return figure


def learning_curve() -> Figure:
    """Errors of the variant `paper` against the number of crystals that it learned from."""
    stored = json.loads((ROOT / "train" / "results" / "learning-curve.json").read_text(encoding="utf-8"))
    numbers = [one["n_crystals"] for one in stored["curve"]]
    figure = Figure(figsize=(6.0, 3.4), layout="constrained")
    axes = figure.add_subplot()
    for kind, color in (("nonmetal", "#0072B2"), ("metal", PREDICTED)):
        errors = [one["test"][kind]["energy_mae_ev"] for one in stored["curve"]]
        axes.plot(numbers, errors, "o-", color=color, label=f"{kind}s".replace("nonm", "non-m"))
    axes.axhline(
        stored["training mean"]["total"]["energy_mae_ev"], color="#888888", linestyle="--", label="mean of the training crystals"
    )
    axes.set(xscale="log", xlabel="training crystals", ylabel="mean error of energies (eV)", ylim=(0.0, None))
    axes.set_xticks(numbers, [f"{number:,}" for number in numbers], minor=False)
    axes.minorticks_off()
    axes.legend(frameon=False, fontsize=9)
    best = min(one["test"]["total"]["energy_mae_ev"] for one in stored["curve"])
    axes.set_title(
        f"variant paper, {stored['data']['counts']['test']} test crystals: {best:.2f} eV at best", loc="left", fontsize=10
    )
    return figure


def labelled(material_id: str, recipe: DatasetRecipe) -> Entry:
    """One crystal of `train/labels` with its DFT bands on the path of the engine."""
    for shard in sorted((ROOT / "train" / "labels").glob("*.jsonl.gz")):
        with gzip.open(shard, "rt", encoding="utf-8") as file:
            for line in file:
                if json.loads(line)["id"] != material_id:
                    continue
                with tempfile.TemporaryDirectory() as folder:
                    document = Path(folder) / "label.jsonl"
                    document.write_text(line, encoding="utf-8")
                    return build_dataset([document], Path(folder) / "data", recipe)[0]
    raise KeyError(f"train/labels holds no {material_id}")


def lines(axes: Axes, bands: bandrt.BandStructure, color: str) -> None:
    """Draw bands along their path, each line of it once."""
    drawn = branches(bands)
    marks = ticks(drawn)
    for branch in drawn:
        axes.plot(branch.distance, bands.energies[:, branch.kpoints].T, color=color, linewidth=1.2)
        axes.axvline(branch.distance[0], color="#BBBBBB", linewidth=0.6, zorder=1)
    axes.axhline(0.0, color="#888888", linewidth=0.7, linestyle=":")
    axes.set_xlim(0.0, marks[-1][0])
    inches = AXES_INCHES / marks[-1][0]
    axes.set_xticks([place for place, _ in marks], tick_texts(marks, inches), fontsize=8)
    axes.tick_params(axis="x", length=0)


if __name__ == "__main__":
    main()
