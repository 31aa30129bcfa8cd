"""Plots of an evaluation: the paper's Fig. 2 and Fig. 3, errors over the periodic table, and how far an uncertainty can be trusted.

Every function gives a matplotlib ``Figure``, or None where there is nothing to draw.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bandrt.bands.branches import branches, ticks
from bandrt.bands.lettering import pretty_formula, pretty_label
from bandrt.outputs import band_structure
from bandrt_train.evaluation.breakdown import ELEMENT_ERRORS, by_element, quintiles
from bandrt_train.evaluation.calibration import calibration
from bandrt_train.evaluation.judgement import MODEL, NEIGHBOUR, Judgement
from bandrt_train.evaluation.metrics import Floats, known_energies
from bandrt_train.tables import element_properties

_PREDICTED, _LABEL, _OTHER, _INK = "#D55E00", "#0072B2", "#999999", "#222222"
MAX_POINTS = 20_000
"""Points of a scatter plot; of more an even choice is drawn."""
MIN_PER_ELEMENT = 3
"""Crystals that an element must be in for a colour to mean something."""
F_ROWS = {6: 8.5, 7: 9.5}
"""Where the lanthanides and actinides are drawn, by period."""


def scatter(judgement: Judgement) -> Any:
    """Predicted over labelled band centres, dispersions and gaps (the paper's Fig. 2 a to c)."""
    panels = _scatter_panels(judgement)
    figure = _figure(3.6 * len(panels), 4.1)
    for place, (title, label, predicted, color) in enumerate(panels, 1):
        axes = figure.add_subplot(1, len(panels), place)
        step = max(1, len(label) // MAX_POINTS)
        axes.plot(label[::step], predicted[::step], ".", color=color, markersize=3.5 if len(label) < 3000 else 1.2, alpha=0.45)
        ends = [min(label.min(), predicted.min()), max(label.max(), predicted.max())] if len(label) else [0.0, 1.0]
        axes.plot(ends, ends, color=_INK, linewidth=0.8)
        axes.set(title=title, xlabel="DFT (eV)", ylabel="predicted (eV)", aspect="equal")
    return figure


def violins(judgement: Judgement) -> Any:
    """How the errors of the crystals are spread, for the model and the nearest neighbour (the paper's Fig. 2 d)."""
    fields = {"band centre": "center_ev", "dispersion": "dispersion_ev", "energy": "energy_ev", "gap": "gap_ev"}
    figure = _figure(7.2, 3.4)
    axes = figure.add_subplot()
    drawn: list[str] = []
    for name, field in fields.items():
        groups = [_finite(getattr(judgement.errors[who], field)) for who in (MODEL, NEIGHBOUR) if who in judgement.errors]
        if not len(groups[0]):
            continue
        for values, side, color in zip(groups, ("low", "high"), (_PREDICTED, _OTHER), strict=False):
            if np.ptp(values) > 0.0:
                parts = axes.violinplot(values, [len(drawn)], side=side, showextrema=False, showmedians=True, widths=0.8)
                for body in parts["bodies"]:
                    body.set(facecolor=color, edgecolor=color, alpha=0.55)
                parts["cmedians"].set(color=color)
        drawn.append(name)
    axes.set_xticks(range(len(drawn)), drawn)
    axes.set_ylim(bottom=0.0)
    axes.set(ylabel="absolute error of a crystal (eV)", title="left: model; right: nearest neighbour in composition; bars: medians")
    return figure


def quintile_bands(judgement: Judgement) -> Any:
    """Predicted bands over DFT's for examples of each fifth of the crystals, best to worst (the paper's Fig. 3)."""
    fifths = quintiles(judgement.errors[MODEL].energy_ev)
    if not fifths:
        return None
    columns = max(len(fifth.examples) for fifth in fifths)
    figure = _figure(4.4 * columns, 2.7 * len(fifths))
    for row, fifth in enumerate(fifths):
        for column, i in enumerate(fifth.examples):
            axes = figure.add_subplot(len(fifths), columns, row * columns + column + 1)
            _draw_bands(axes, judgement, i, fifth.name)
    return figure


def element_errors(judgement: Judgement) -> Any:
    """The periodic table, coloured by the error of the crystals that hold an element."""
    field, what, count = ELEMENT_ERRORS[judgement.kind]
    errors = by_element(judgement.errors[MODEL], judgement.records)
    usable = {s: e for s, e in errors.items() if getattr(e, count) >= MIN_PER_ELEMENT and getattr(e, field) is not None}
    if not usable:
        return None
    from matplotlib import colormaps
    from matplotlib.colors import Normalize

    values = {symbol: float(getattr(one, field)) for symbol, one in usable.items()}
    scale = Normalize(0.0, float(np.quantile(list(values.values()), 0.95)) or 1.0)
    colors = colormaps["YlOrRd"]
    figure = _figure(10.0, 5.2)
    axes = figure.add_subplot()
    for symbol, (x, y) in _places().items():
        value = values.get(symbol)
        shade = "#f4f4f4" if value is None else colors(scale(value))
        axes.add_patch(_square(x, y, shade))
        dark = value is not None and scale(value) > 0.6
        ink = "white" if dark else _INK if value is not None else "#bbbbbb"
        axes.text(x, y - 0.12, symbol, ha="center", va="center", fontsize=9, color=ink)
        if value is not None:
            axes.text(x, y + 0.26, f"{value:.2f}", ha="center", va="center", fontsize=6, color=ink)
    axes.set(
        xlim=(0.4, 18.6),
        ylim=(10.1, 0.4),
        aspect="equal",
        title=f"{what} (eV), of elements with {MIN_PER_ELEMENT} or more",
    )
    axes.axis("off")
    return figure


def reliability(judgement: Judgement) -> Any:
    """Errors made over errors expected: crystals, and means of fifths."""
    if judgement.predictions.uncertainty_ev is None:
        return None
    expected, found = judgement.predictions.uncertainty_ev.astype(np.float64), judgement.errors[MODEL].energy_ev
    result = calibration(expected, found)
    if result is None:
        return None
    figure = _figure(4.2, 4.0)
    axes = figure.add_subplot()
    axes.plot(expected, found, ".", color=_OTHER, markersize=4, alpha=0.5, label="crystals")
    fifths = [(one.expected_ev, one.found_ev) for one in result.reliability]
    if fifths:
        axes.plot(*zip(*fifths, strict=True), "o-", color=_PREDICTED, label="fifths")
    end = float(max(np.nanmax(found), expected.max()))
    axes.plot([0, end], [0, end], color=_INK, linewidth=0.8)
    axes.set(xlabel="expected error (eV)", ylabel="energy MAE (eV)")
    axes.legend(frameon=False)
    return figure


def _figure(width: float, height: float) -> Any:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _square(x: float, y: float, color: Any) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((x - 0.46, y - 0.46), 0.92, 0.92, facecolor=color, edgecolor="none")


def _scatter_panels(judgement: Judgement) -> list[tuple[str, Floats, Floats, str]]:
    """Title, targets, predictions and colour of each panel."""
    predicted, panels = judgement.predicted[MODEL], []
    if judgement.kind == "bands":
        assert predicted.energies is not None
        target = known_energies(judgement.targets)  # (n, n_bands, K)
        own = np.ma.masked_array(predicted.energies, target.mask)
        centers, own_centers = target.mean(axis=-1), own.mean(axis=-1)
        panels.append(("band centres", centers.compressed(), own_centers.compressed(), _PREDICTED))
        deviations = [(one - center[..., None]).compressed() for one, center in ((target, centers), (own, own_centers))]
        panels.append(("band dispersions", deviations[0], deviations[1], _PREDICTED))
    nonmetal = np.array([not t.is_metal for t in judgement.targets])
    gap = np.array([t.band_gap for t in judgement.targets])
    panels.append(("gaps of non-metals", gap[nonmetal], predicted.gap[nonmetal], _LABEL))
    return panels


def _draw_bands(axes: Any, judgement: Judgement, i: int, quintile: str) -> None:
    entry = judgement.dataset[judgement.indices[i]]
    predicted = judgement.predicted[MODEL]
    assert predicted.energies is not None
    rule = judgement.predictions.model.rule
    bands = band_structure(entry.features, predicted.energies[i], rule)
    target = np.where(entry.targets.mask, entry.targets.energies, np.nan)  # (n_bands, K)
    drawn = branches(bands)
    for branch in drawn:
        axes.plot(branch.distance, target[:, branch.kpoints].T, color=_LABEL, linewidth=1.1)
        axes.plot(branch.distance, bands.energies[:, branch.kpoints].T, color=_PREDICTED, linewidth=1.0, linestyle=(0, (3, 1.5)))
    for branch in drawn[1:]:
        axes.axvline(branch.distance[0], color="#cccccc", linewidth=0.5, zorder=0)
    marks = ticks(drawn)
    axes.set_xticks([position for position, _ in marks], [pretty_label(name) for _, name in marks], fontsize=6)
    axes.tick_params(axis="y", labelsize=7)
    axes.set_xlim(0.0, marks[-1][0])
    axes.axhline(0.0, color=_INK, linewidth=0.5, linestyle=":")
    record, error = judgement.records[i], judgement.errors[MODEL].energy_ev[i]
    axes.set_title(f"{quintile}  {pretty_formula(entry.features.crystal.formula)}  {record['id']}  {error:.2f} eV", fontsize=8)


def _places() -> dict[str, tuple[float, float]]:
    """Column and row of each element in the periodic table."""
    places, next_column = {}, dict.fromkeys(F_ROWS, 4.0)
    for row in element_properties():
        group, period = int(row["group"]), int(row["period"])
        if group:
            places[row["symbol"]] = (float(group), float(period))
        else:
            places[row["symbol"]] = (next_column[period], F_ROWS[period])
            next_column[period] += 1.0
    return places


def _finite(values: Floats) -> NDArray[np.float64]:
    return values[~np.isnan(values)]
