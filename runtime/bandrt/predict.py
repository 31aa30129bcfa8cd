"""Prediction: from anything that is a crystal to its band structure, with one open engine."""

from __future__ import annotations

import math
import os
import warnings
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property, partial
from itertools import groupby, islice
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self, overload

import numpy as np

from bandrt.arguments import check_kind, check_type, checked_whole, not_allowed
from bandrt.bands.band_structure import BandStructure, in_order
from bandrt.bands.frame import out_of_frame
from bandrt.bands.on_path import Energies
from bandrt.batch import Batcher, save
from bandrt.contract import BAND_ENERGIES, UNCERTAINTY
from bandrt.cores import available_cores
from bandrt.crystal import Crystal
from bandrt.domain import NO_INFERENCE, expected_error
from bandrt.domain import warnings as domain_warnings
from bandrt.elements import SYMBOLS
from bandrt.engine import DEFAULT_ENGINE, has_checksum, open_session, shipped_path
from bandrt.engine.memory import CrystalOutputs, Evaluator
from bandrt.engine.session import MAX_THREADS, Session
from bandrt.engine.shapes import holds
from bandrt.errors import BandrtError, EngineError, InputError, UsageError
from bandrt.features import Features, Many, featurize_cell
from bandrt.files import file_sha256, path_of
from bandrt.graph.bonded_network import network_warnings
from bandrt.items import ItemIds, called, crystal_of, found_at, is_one, items_of, kept_with, one_of
from bandrt.manifest import BandRule, Manifest
from bandrt.outcomes import each, only, outcome_of
from bandrt.quoting import shortened
from bandrt.readers.text import is_a_folder
from bandrt.recipe import Recipe
from bandrt.results.prediction import Failure, Prediction, Result, Ticket
from bandrt.routes import Route, other_device, other_engine, taken_over, unavailable, within_memory, within_size
from bandrt.spectra.crystal_hamiltonian import CrystalHamiltonian, hamiltonian_of
from bandrt.symmetry.standard_cell import standardize

CPU_BATCH_PER_CORE, GPU_BATCH_SIZE = 4, 256
"""Crystals per run: a CPU core takes a slice of a few at a time; a GPU wants many, of small cells."""
BATCHES_AHEAD = 4
"""`Engine.predict` looks this many batches ahead for crystals of one size."""


class EngineWarning(UserWarning):
    """An engine can be used, but not be trusted as others can."""


class Featurized(NamedTuple):
    """Inputs that an engine can take, and why the others cannot be used; each list in the order of the inputs."""

    features: list[tuple[Ticket, Features]]
    failures: list[tuple[Ticket, Failure]]


class Engine:
    """An open model together with the featurisation it was trained on; a context manager."""

    def __init__(self, session: Session, path: Path, *, hands_over_to: Engine | None = None) -> None:
        if not hasattr(session, "run_many"):
            raise not_allowed("session", session, "an open session; `bandrt.load` opens an engine by its path")
        self.session = session
        self.path = path_of(path)
        self.hands_over_to = hands_over_to
        """The open engine that predicts crystals of the elements in `Manifest.hand_over`; closed with this one."""
        self.route = Route.to(session.manifest, None if hands_over_to is None else hands_over_to.manifest)
        """How crystals come to the engine that predicts them."""
        self._evaluator = Evaluator(session)
        self._closed = False

    def __repr__(self) -> str:
        manifest = self.manifest
        state = "closed" if self._closed else f"on {self.session.device}"
        name = shortened(self.path.name, 80)
        other = f", hands over to {shortened(self.hands_over_to.path.name, 80)}" if self.hands_over_to else ""
        return f"Engine({name}, {manifest.variant}, {manifest.bands.n_bands} bands, {manifest.precision}, {state}{other})"

    @property
    def manifest(self) -> Manifest:
        """What the model is, what it must be fed and what it was trained on."""
        return self.session.manifest

    @property
    def recipe(self) -> Recipe:
        """The featurisation that the model was trained on."""
        return self.manifest.recipe

    @cached_property
    def sha256(self) -> str:
        """Checksum of the model file."""
        return file_sha256(self.path)

    @property
    def checksums(self) -> str:
        """What results say of which engine they are: its checksum, then, after a plus, that of the one that it hands over to."""
        return self.sha256 if self.hands_over_to is None else f"{self.sha256}+{self.hands_over_to.sha256}"

    @cached_property
    def has_checksum(self) -> bool:
        """Whether the model file was compared with a checksum in it or beside it when it was opened."""
        return has_checksum(self.path)

    def predict(self, items: Any, *, batch_size: int | None = None) -> Iterator[Result]:
        """Predict band structures, lazily and in input order.

        Crystals of elements that the manifest hands over are featurised and predicted by the other engine, and have the warning
        ``handed-over``.

        Ids are the names of files, as `bandrt.find` gives them, else the ``material_id``, ``id`` or ``name`` that an object
        carries, else the formula; the second of a name is ``NaCl-2``. What cannot be read and has no name has its place among the
        items, ``items[3]``.

        Args:
            items: a path, CIF text, a pymatgen or ASE object, a `Crystal`, a `Source`; or many of them: a list,
                tuple, array, column, or a generator, which may be endless.
            batch_size: crystals per run of the model; None takes what suits the device.

        All is done in this process: nobody watches, and a crystal on which a library under this never ends, or crashes, takes the
        process with it. `bandrt.limits` keeps those that are known from it; `bandrt infer` survives the others.

        Returns:
            An iterator over as many results as there are items: a `Prediction`, or a `Failure` for an input that cannot be used.
            Anything else that goes wrong is raised.

        Raises:
            ArgumentError: ``bad-argument`` for what is neither an item nor many, at once.
            InputError: ``is-a-folder`` for the path of a folder alone, at once: `bandrt.find` finds the crystals in it.
            EngineError: ``engine-closed``, ``engine-failed``.
        """
        if batch_size is not None:
            batch_size = checked_whole("batch_size", batch_size, at_least=1)
        given = items_of(items)
        if (path := found_at(items)) and os.path.isdir(path):
            raise is_a_folder(path)
        self._require_open()
        return self._predicted(iter(given), ItemIds(given), batch_size or default_batch_size(self.session.device))

    def _predicted(self, items: Iterator[Any], ids: ItemIds, batch_size: int) -> Iterator[Result]:
        numbered = enumerate(items)
        while ahead := list(islice(numbered, BATCHES_AHEAD * batch_size)):
            results: dict[int, Result] = {}
            batcher: Batcher[Ticket, Features] = Batcher(batch_size, holds=self.holds)
            batches: list[list[tuple[Ticket, Features]]] = []
            crystals = [outcome_of(partial(crystal_of, item, name=found_at(item) or called(item, order))) for order, item in ahead]
            tickets = [
                Ticket(order, ids.id_of(item, crystal, order), found_at(item), kept=kept_with(item))
                for (order, item), crystal in zip(ahead, crystals, strict=True)
            ]
            found = featurize_inputs(tickets, crystals, self.route)
            results |= {ticket.order: failure for ticket, failure in found.failures}
            for ticket, features in found.features:
                batches += batcher.add(ticket, features, lane=self.route.leaves(features.crystal))
            batches += batcher.flush()
            for batch, predicted in zip(batches, self.run_many(batches), strict=True):
                results |= {ticket.order: result for (ticket, _), result in zip(batch, predicted, strict=True)}
            yield from (results[order] for order, _ in ahead)

    @overload
    def featurize(self, item: Many, *, name: None = ...) -> list[Features | InputError]: ...
    @overload
    def featurize(self, item: Any, *, name: str | None = ...) -> Features: ...
    def featurize(self, item: Any, *, name: str | None = None) -> Features | list[Features | InputError]:
        """Featurise as `bandrt.featurize` does, by the recipe of the engine that predicts a crystal, unless it has no room for it.

        Args:
            item: a crystal, or many, as `predict` takes them.
            name: what to call one in an error.

        Raises:
            InputError: the one crystal cannot be used, or ``too-many-atoms``.
            ArgumentError: ``bad-argument`` for what is neither an item nor many.
        """
        given = list(items_of(item, what="item"))
        check_type("name", name, str | None)
        if name is not None and not is_one(item):
            raise not_allowed("name", name, "None, for many items")
        names = (
            [called(item) if name is None else name] if is_one(item) else [called(one, order) for order, one in enumerate(given)]
        )
        crystals = [outcome_of(partial(crystal_of, one, name=one_name)) for one, one_name in zip(given, names, strict=True)]
        outcomes = self.route.featurize(crystals, names=names)
        return only(outcomes) if is_one(item) else outcomes

    def save_batch(self, items: Any, folder: str | os.PathLike[str]) -> None:
        """Write crystals, padded to one batch, as this engine's model file is fed them: for programs that run it themselves.

        Args:
            items: crystals, as `predict` takes them; all are featurised by the recipe of this engine, handed over or not.
            folder: where ``NAME.npy`` is written for each of `Manifest.inputs`; made if it is not there, else empty.

        Raises:
            ArgumentError: ``bad-argument`` for what is neither an item nor many, and for no item.
            InputError: of the first crystal that cannot be used.
            OutputError: ``output-exists``, ``output-not-a-folder`` or ``output-unwritable``.
        """
        given, out = list(items_of(items)), path_of(folder, what="folder")
        if not given:
            raise not_allowed("items", given, "at least one crystal")
        names = [called(item, order) for order, item in enumerate(given)]
        crystals = [crystal_of(item, name=name) for item, name in zip(given, names, strict=True)]
        outcomes = Route.to(self.manifest).featurize(crystals, names=names)
        save([only([outcome]) for outcome in outcomes], self.manifest, out)

    def hamiltonian(self, item: Any, *, name: str | None = None) -> CrystalHamiltonian:
        """The Hamiltonian of one crystal, which gives bands at any k-point, densities of states and effective masses.

        Args:
            item: one crystal, as `predict` takes it.
            name: what to call it in an error.

        Raises:
            UsageError: ``no-hamiltonian`` of an engine that has none, as ``accurate`` has, and of a crystal that it hands over to
                another one.
            InputError: the crystal cannot be used.
            EngineError: ``engine-closed``, ``engine-failed``, ``out-of-memory``.
            ArgumentError: ``bad-argument`` for what is not one item.
        """
        check_type("name", name, str | None)
        name = called(one_of(item)) if name is None else name
        self._require_open()
        crystal = crystal_of(item, name=name)
        if self.hands_over_to is not None and self.route.leaves(crystal):
            elements = " ".join(SYMBOLS[z] for z in sorted(self.route.left.intersection(crystal.atomic_numbers.tolist())))
            raise UsageError(
                "no-hamiltonian",
                f"{name}: {self.path.stem} leaves crystals with {elements} to {self.hands_over_to.path.stem}, which knows six bands"
                " alone; to see what it would say of them, though it knows little: --no-hand-over, in Python hand_over=False",
            )
        cell = standardize(crystal, self.recipe.symmetry, name=name)
        features = featurize_cell(cell, self.recipe, name=name)
        features = only([within_size(features, self.manifest.profile.max_atoms, name=name)])
        return hamiltonian_of(self.session, crystal, cell, features, name=name)

    def run_many(self, batches: Iterable[Sequence[tuple[Ticket, Features]]]) -> Iterator[list[Result]]:
        """Run the model on batches, lazily and in order; a GPU copies one while it computes another.

        Args:
            batches: crystals of similar size, all of which take one route; one batch more may be taken than was answered.

        Yields:
            For each batch a prediction of each crystal, or the failure of one whose energies are not finite, or which does not fit
            into memory even alone. What does not fit together is taken in smaller batches.

        Raises:
            EngineError: ``engine-failed``, after the results of the batches before; ``engine-closed``.
        """
        self._require_open()
        for away, share in groupby(batches, key=self._leaves):
            if away and self.hands_over_to is not None:
                for results in self.hands_over_to.run_many(share):
                    yield [taken_over(result, self.manifest) for result in results]
            else:
                yield from self._run_own(share)

    def manifest_of(self, away: bool) -> Manifest:
        """The manifest of the engine that predicts crystals which take the other route, or those that do not."""
        check_type("away", away, bool)
        return self.hands_over_to.manifest if away and self.hands_over_to is not None else self.manifest

    def holds(self, size: int, away: bool) -> int | None:
        """How many crystals of a size, padding included, are predicted at once at most; None: any number."""
        size = checked_whole("size", size, at_least=1)
        return holds(self.manifest_of(away), size)

    def _leaves(self, batch: Sequence[tuple[Ticket, Features]]) -> bool:
        """Whether the other engine predicts a batch."""
        if self.route.other is None:
            return False
        ways = {self.route.leaves(features.crystal) for _, features in batch}
        if len(ways) > 1:
            raise ValueError("a batch holds crystals of two engines")
        return True in ways

    def _run_own(self, batches: Iterable[Sequence[tuple[Ticket, Features]]]) -> Iterator[list[Result]]:
        taken: deque[Sequence[tuple[Ticket, Features]]] = deque()

        def crystals() -> Iterator[list[Features]]:
            for batch in batches:
                taken.append(batch)
                yield [features for _, features in batch]

        for rows in self._evaluator.run_many(crystals()):
            batch = taken.popleft()
            yield [self._result(*one, row, bands) for one, row, bands in zip(batch, rows, _whole_bands(rows), strict=True)]

    def _result(self, ticket: Ticket, features: Features, row: CrystalOutputs, whole: Energies | None) -> Result:
        name = ticket.path or ticket.id
        if isinstance(row, EngineError):
            return Failure.of(InputError(row.code, f"{name}: {row.message}", stage="predict"), ticket)
        manifest = self.manifest
        rule, uncertainty = manifest.bands, float(row[UNCERTAINTY]) if UNCERTAINTY in row else None
        if whole is None:
            energies = row[BAND_ENERGIES]  # (n_bands, n_kpoints)
            if manifest.solver is not None and np.isnan(energies).all():
                message = f"{name}: the Hamiltonian of this engine has too few bands around the Fermi level"
                return Failure.of(InputError("too-few-bands", message, stage="predict"), ticket)
            energies, rule = out_of_frame(energies, rule)
            whole = in_order(energies) if np.isfinite(energies).all() else None
        if whole is None or not (uncertainty is None or math.isfinite(uncertainty)):
            message = f"{name}: the engine gave energies that are not finite numbers"
            return Failure.of(InputError("non-finite-energies", message, stage="predict"), ticket)
        bands = band_structure(features, whole, rule)
        nothing = (NO_INFERENCE,) if manifest.is_null else ()
        doubts = (*nothing, *domain_warnings(features.crystal, manifest.training), *ticket.warnings)
        expected = None if uncertainty is None else expected_error(uncertainty, doubts)
        return Prediction(ticket.id, ticket.path, bands, doubts, expected, ticket.input_sha256, dict(ticket.kept))

    def close(self) -> None:
        """Free the model, and the one that it hands crystals over to."""
        self._closed = True
        self.session.close()
        if self.hands_over_to is not None:
            self.hands_over_to.close()

    def _require_open(self) -> None:
        if self._closed:
            raise EngineError(
                "engine-closed",
                f"{self.path}: is closed; go through the results of `predict` inside the `with` block, or load it again",
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()


def load(
    path: str | os.PathLike[str] | None = None,
    device: str | None = None,
    *,
    threads: int | None = None,
    bands: int | None = None,
    hand_over: bool = True,
) -> Engine:
    """Open an engine.

    Args:
        path: a model file, or the name of an engine that comes with this package: ``fast`` or ``accurate``, where nothing here is
            called so; ``null`` for the one without inference; None opens the accurate one.
        device: ``cpu``, ``cuda`` or ``cuda:N``, for ONNX files also ``tensorrt:N`` and ``nv-tensorrt-rtx:N``, or several GPUs by
            commas, ``cuda:0,cuda:1``: used or refused, never replaced; None takes the CPU for an ONNX file, the first GPU for a
            plan.
        threads: CPU threads; None takes every core this process may use.
        bands: how many around the Fermi level, half of them below; None takes six. The engine ``accurate`` gives any even number
            from six on, of which a crystal that has fewer gives those it has: gap and metal or not are the same.
        hand_over: whether crystals of the elements in `Manifest.hand_over` are predicted by the engine that it names, which is
            opened, too, on the same device, beside a plan on the CPU; otherwise the model predicts them all itself.

    Raises:
        ArgumentError: ``bad-argument`` for what is no path, device, or number of threads or bands.
        EngineError: the model cannot be opened or the device not used; ``bands-fixed`` where it knows no more bands;
            ``hand-over-unavailable`` where the other engine cannot be had.
        UsageError: ``unknown-device``.
        ManifestError: the model carries no manifest, or not one that describes it.
        MissingPackageError: the backend is not installed.
    """
    file = DEFAULT_ENGINE if path is None else shipped_path(path) or path_of(path)
    if device is not None:
        check_kind("device", device, str)
    if threads is not None:
        threads = checked_whole("threads", threads, at_least=1, at_most=MAX_THREADS)
    check_kind("hand_over", hand_over, bool)
    session = open_session(file, device=device, threads=threads, bands=bands)
    try:
        other = _opened_other(session, file, device, threads) if hand_over else None
    except BaseException:
        session.close()
        raise
    engine = Engine(session, file, hands_over_to=other)
    if not engine.has_checksum:
        warnings.warn(unverified(file), EngineWarning, stacklevel=2)
    return engine


def _opened_other(session: Session, path: Path, device: str | None, threads: int | None) -> Engine | None:
    """The engine that an open one hands crystals over to, if there is any.

    Raises:
        EngineError: ``hand-over-unavailable``.
    """
    rule, file = session.manifest.hand_over, other_engine(path, session.manifest)
    if rule is None or file is None:
        return None
    try:
        return Engine(open_session(file, device=other_device(path, device), threads=threads), file)
    except BandrtError as error:
        raise unavailable(path, rule, error.message) from error


def unverified(path: Path) -> str:
    """What to say of an engine without a checksum."""
    return f"{path}: has no checksum of its weights, as engines of earlier versions; export it again, so that damage is found"


def _whole_bands(rows: Sequence[CrystalOutputs]) -> list[Energies | None]:
    """Bands numbered by energy, (n_bands, n_kpoints), of each crystal of a batch that has all of them; None of the others."""
    given = [place for place, row in enumerate(rows) if not isinstance(row, EngineError)]
    found: list[Energies | None] = [None] * len(rows)
    if not given:
        return found
    energies = np.stack([row[BAND_ENERGIES] for row in rows if not isinstance(row, EngineError)])
    is_whole = np.isfinite(energies).all(axis=(1, 2)).tolist()
    is_ordered = (
        np.greater_equal(energies[:, 1:], energies[:, :-1]).all(axis=(1, 2)).tolist()
    )  # quicker than to order them once more
    for place, bands, whole, ordered in zip(given, energies, is_whole, is_ordered, strict=True):
        if whole:
            found[place] = bands.copy() if ordered else in_order(bands)  # a copy: whoever keeps it does not keep the batch
    return found


def band_structure(features: Features, energies: Energies, rule: BandRule) -> BandStructure:
    """Put energies, (n_bands, n_kpoints) in eV, on the path of the crystal they were predicted for."""
    kpath = features.kpath
    return BandStructure(
        energies=energies,
        frac_kpoints=kpath.frac_kpoints,
        kpoint_distance=kpath.kpoint_distance,
        labels=kpath.labels,
        label_indices=kpath.label_indices,
        crystal=features.crystal,
        space_group=features.space_group,
        space_group_symbol=features.space_group_symbol,
        scheme=kpath.scheme,
        rule=rule,
    )


def default_batch_size(device: str) -> int:
    """Crystals per run that suit a device."""
    return CPU_BATCH_PER_CORE * available_cores() if device == "cpu" else GPU_BATCH_SIZE


def featurize_inputs(
    tickets: Sequence[Ticket],
    crystals: Sequence[Crystal | InputError],
    route: Route,
    *,
    memory_atoms: int | None = None,
) -> Featurized:
    """Make the features of inputs, refuse those that an engine has no room for, and tell features from failures.

    Tickets of features get the warnings that the crystal deserves whatever the model is.

    Args:
        tickets: of each input; an error calls it by its path, or else by its id.
        crystals: of each input, or why it cannot be read.
        route: how they come to the engine that predicts them.
        memory_atoms: of the largest for which there shall be memory; None: any.
    """
    names = [ticket.path or ticket.id for ticket in tickets]
    done = Featurized([], [])
    outcomes = route.featurize(crystals, names=names)
    for ticket, crystal, outcome, name in zip(tickets, crystals, outcomes, names, strict=True):
        one = within_memory(outcome, memory_atoms, name=name)
        if isinstance(crystal, Crystal) and crystal.notes:
            ticket = ticket._replace(warnings=(*ticket.warnings, *crystal.notes))
        if isinstance(one, InputError):
            done.failures.append((ticket, Failure.of(one, ticket)))
        else:
            done.features.append((ticket, one))
    found = [features for _, features in done.features]
    said = each(found, _network_warnings, "features-failed", "graph") if found else []
    warned: list[tuple[Ticket, Features]] = []
    for (ticket, features), codes in zip(done.features, said, strict=True):
        if isinstance(codes, InputError):
            done.failures.append((ticket, Failure.of(codes.about(ticket.path or ticket.id), ticket)))
        else:
            warned.append((ticket._replace(warnings=(*ticket.warnings, *codes)) if codes else ticket, features))
    return Featurized(warned, done.failures)


def _network_warnings(found: Sequence[Features]) -> Sequence[tuple[str, ...]]:
    return network_warnings([features.crystal for features in found], found)
