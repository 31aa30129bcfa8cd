"""Ray Data: what an actor of ``map_batches`` does, from rows with the text of crystals to rows with their gaps, failures included.

Ray makes one `Predictor` in each actor, which opens its engine once, on the cores and the GPU that the actor was given. Each row
of the input gives one row of the output, in order, so that nothing is lost or counted twice where Ray runs a batch again.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

from bandrt.arguments import check_kind, check_text, not_allowed
from bandrt.cores import available_cores
from bandrt.errors import MissingPackageError
from bandrt.loading import load
from bandrt.results.convert.parquet import summary_types
from bandrt.results.prediction import Failure, Result
from bandrt.results.summary import summary
from bandrt.sources.tables import STRUCTURE_COLUMN, source_of_text

BANDS = ("energies", "frac_kpoints", "kpoint_distance", "labels", "label_indices")
"""Columns that ``bands=True`` adds, as `bandrt.BandStructure` calls them."""


class Predictor:
    """One open engine in an actor of Ray: give the class to ``Dataset.map_batches``, its arguments as ``fn_constructor_kwargs``.

    Columns of the output are ``id``; those of ``summary.csv`` from ``formula`` to ``uncertainty_ev``, null where there is no
    prediction; with ``bands`` those of `BANDS`; ``error``, the code of what is wrong with the crystal, and ``error_message``, both
    null where nothing is.
    """

    def __init__(
        self,
        engine: str | os.PathLike[str] | None = None,
        device: str = "auto",
        *,
        threads: int | None = None,
        hand_over: bool = True,
        id_column: str = "material_id",
        structure_column: str = STRUCTURE_COLUMN,
        bands: bool = False,
    ) -> None:
        """Open the engine.

        Args:
            engine: as `bandrt.load` takes it; a file has to be there on every node.
            device: ``auto`` takes the GPU that Ray gave the actor (``num_gpus``), and where it gave none what `bandrt.load` takes;
                else a device as there.
            threads: CPU threads; None takes the cores that Ray gave the actor (``num_cpus``), at least one.
            hand_over: as `bandrt.load` takes it.
            id_column: the column of the input that becomes ``id``.
            structure_column: the column with the text of CIFs.
            bands: whether the bands come along, with the points of their path.

        Raises:
            BandrtError: as `bandrt.load`, and ``missing-package`` for pyarrow.
        """
        for name, column in (("id_column", id_column), ("structure_column", structure_column)):
            check_text(name, column)
        check_kind("device", device, str)
        check_kind("bands", bands, bool)
        try:
            import pyarrow  # noqa: F401
        except ImportError:
            raise MissingPackageError("pyarrow", "ray", "predicting in Ray") from None
        cores, has_gpu = given_by_ray()
        chosen = ("cuda:0" if has_gpu else None) if device == "auto" else device
        self._engine = load(engine, chosen, threads=cores if threads is None else threads, hand_over=hand_over)
        self._id_column, self._structure_column, self._with_bands = id_column, structure_column, bands

    def __call__(self, batch: Mapping[str, Any]) -> Any:
        """Predict the rows of a batch.

        Args:
            batch: columns by name, in any of Ray's formats: arrays of NumPy, a DataFrame of pandas, a table of pyarrow.

        Returns:
            A table of pyarrow with as many rows, in their order.

        Raises:
            ArgumentError: ``bad-argument``, where a column is missing or has another length.
            EngineError: ``engine-failed``.
        """
        names = [_name(value) for value in self._column(batch, self._id_column)]
        texts = self._column(batch, self._structure_column)
        if len(texts) != len(names):
            lengths = f"{len(names)} of {self._id_column} and {len(texts)} of {self._structure_column}"
            raise not_allowed("the columns of a batch", lengths, "as many values in each")
        sources = [
            source_of_text(text, source_id=name, place=name or "a row without id") for name, text in zip(names, texts, strict=True)
        ]
        results = list(self._engine.predict(sources))
        return self._table(names, results)

    def _column(self, batch: Mapping[str, Any], name: str) -> Sequence[Any]:
        there = list(getattr(batch, "column_names", batch))
        if name not in there:
            raise not_allowed("the columns of a batch", ", ".join(map(str, there)), f"columns with {name}, or say how it is called")
        column = batch[name]
        if hasattr(column, "to_pylist"):
            return column.to_pylist()  # type: ignore[no-any-return]
        if hasattr(column, "to_numpy"):  # of pandas, which has values of its own for what is missing
            return column.to_numpy(dtype=object, na_value=None)  # type: ignore[no-any-return]
        return column  # type: ignore[no-any-return]

    def _table(self, names: Sequence[str], results: Sequence[Result]) -> Any:
        import pyarrow as pa

        types = summary_types(uncertainty=True)
        del types["path"]
        rows = [{} if isinstance(result, Failure) else summary(result) for result in results]
        errors = [(result.code, result.message) if isinstance(result, Failure) else (None, None) for result in results]
        columns = {name: pa.array([row.get(name) for row in rows], kind) for name, kind in types.items()}
        columns["id"] = pa.array(names, pa.string())
        if self._with_bands:
            columns |= _bands(results)
        for place, name in enumerate(("error", "error_message")):
            columns[name] = pa.array([error[place] for error in errors], pa.string())
        return pa.table(columns)


def given_by_ray() -> tuple[int, bool]:
    """The CPU threads that suit the actor of Ray that this process is, and whether it has a GPU; elsewhere all cores, and none."""
    try:
        import ray
    except ImportError:
        return available_cores(), False
    if not ray.is_initialized() or ray.get_runtime_context().get_actor_id() is None:
        return available_cores(), False
    context = ray.get_runtime_context()
    cores = int(context.get_assigned_resources().get("CPU", 1))
    return min(max(1, cores), available_cores()), bool(context.get_accelerator_ids().get("GPU"))


def _name(value: Any) -> str:
    """The id of a row; empty where there is none."""
    return "" if value is None or (isinstance(value, float) and math.isnan(value)) else str(value)


def _bands(results: Sequence[Result]) -> dict[str, Any]:
    """The bands and the points of their path, as the Parquet files of `bandrt convert` have them; null for failures."""
    import pyarrow as pa

    number = pa.list_(pa.float64())
    types = (pa.list_(pa.list_(pa.float32())), pa.list_(number), number, pa.list_(pa.string()), pa.list_(pa.int32()))
    given = [None if isinstance(result, Failure) else result.band_structure for result in results]
    return {
        name: pa.array([None if one is None else _listed(getattr(one, name)) for one in given], kind)
        for name, kind in zip(BANDS, types, strict=True)
    }


def _listed(values: Any) -> list[Any]:
    return values.tolist() if hasattr(values, "tolist") else list(values)
