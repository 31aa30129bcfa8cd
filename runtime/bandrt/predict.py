"""Prediction: from anything that is a crystal to its band structure, with one open engine."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property, partial
from itertools import groupby, islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self, overload

from bandrt.arguments import check_type, checked_whole, not_allowed
from bandrt.batch import Batcher, save
from bandrt.cores import available_cores
from bandrt.elements import SYMBOLS
from bandrt.engine import engine_sha256, has_checksum
from bandrt.engine.memory import Evaluator
from bandrt.engine.session import Session
from bandrt.engine.shapes import holds
from bandrt.errors import EngineError, InputError, UsageError
from bandrt.features import Features, Many, featurize_cell
from bandrt.featurized import featurize_inputs
from bandrt.files import path_of
from bandrt.items import ItemIds, called, crystal_of, found_at, is_one, items_of, kept_with, one_of
from bandrt.manifest import Manifest
from bandrt.outcomes import only, outcome_of
from bandrt.outputs import results_of
from bandrt.quoting import shortened
from bandrt.readers.text import is_a_folder
from bandrt.recipe import Recipe
from bandrt.results.prediction import Result, Ticket
from bandrt.routes import Route, taken_over, within_size
from bandrt.spectra.crystal_hamiltonian import CrystalHamiltonian, hamiltonian_of
from bandrt.symmetry.standard_cell import standardize

CPU_BATCH_PER_CORE, GPU_BATCH_SIZE = 4, 256
"""Crystals per run: a CPU core takes a slice of a few at a time; a GPU wants many, of small cells."""
BATCHES_AHEAD = 4
"""`Engine.predict` looks this many batches ahead for crystals of one size."""


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
        """Checksum of the model and its manifest: of an ONNX file, which holds both; of a plan, of what its manifest says."""
        return engine_sha256(self.path)

    @property
    def checksums(self) -> str:
        """What results say of which engine they are: its checksum, then, after a plus, that of the one that it hands over to."""
        return self.sha256 if self.hands_over_to is None else f"{self.sha256}+{self.hands_over_to.sha256}"

    @cached_property
    def has_checksum(self) -> bool:
        """Whether the model and its manifest were compared with a checksum in them when they were opened."""
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
            yield results_of(taken.popleft(), rows, self.manifest)

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


def default_batch_size(device: str) -> int:
    """Crystals per run that suit a device."""
    return CPU_BATCH_PER_CORE * available_cores() if device == "cpu" else GPU_BATCH_SIZE
