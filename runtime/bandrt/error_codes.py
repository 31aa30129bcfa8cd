"""What every error code and every warning means, and what mends it: data, that the documentation is made from.

A code stands in the table of the package that raises it; one that several raise, in that of the lowest. `tests/test_error_codes.py`
holds the tables against the code.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class ErrorCode(NamedTuple):
    """One code, for people."""

    code: str
    """As it stands between brackets on standard error, in ``errors.jsonl`` and in `BandrtError.code`."""
    cause: str
    """What was found, in one sentence."""
    mend: str
    """What the user can do, in one or two sentences."""


def by_code(*entries: ErrorCode) -> Mapping[str, ErrorCode]:
    """A table of codes, in the order given."""
    table = {entry.code: entry for entry in entries}
    assert len(table) == len(entries), "a code stands here twice"
    return MappingProxyType(table)


CODES: Mapping[str, ErrorCode] = by_code(
    # finding and opening inputs
    ErrorCode(
        "file-not-found",
        "A file or folder that was named does not exist, or was gone when it was to be read.",
        "Check the spelling, and the folder that the path starts from.",
    ),
    ErrorCode(
        "no-input",
        "Nothing that was named holds a crystal, or band data, that can be used.",
        "Name files of the formats in the message, or a folder that holds some; hidden files in a folder are passed over. Where"
        " crystals were found but none could be used, the message says what is wrong with the first.",
    ),
    ErrorCode(
        "which-crystal",
        "A command that takes one crystal was given a folder or file of several, and no id of one of them.",
        "Give the id after the folder or file: that in summary.csv, or one that the message lists.",
    ),
    ErrorCode(
        "no-original-cell",
        "The cell that a crystal came in is asked for, but the crystal was named in results, which hold the standard primitive cell"
        " alone.",
        "Name the file of the crystal in the place of folder and id, or leave out --original-cell.",
    ),
    ErrorCode(
        "bad-kpoints",
        "A file of k-points cannot be read, holds what is something else or may be, such as numbered lines or a mesh, or is larger"
        " than 64 MiB or a million k-points.",
        "Write one k-point a line, three fractional coordinates, after which a weight may stand; or a list of them in a *.json.",
    ),
    ErrorCode(
        "unknown-label",
        "A path names a k-point that is none of the crystal's, or may be one of several.",
        "Use the labels that the message lists, in their case; they are those of the crystal's own k-path.",
    ),
    ErrorCode(
        "bad-path",
        "A path has a line of one label alone, or the same label twice in a row.",
        "Write lines of two or more labels, such as G-X-W, and part lines by a |.",
    ),
    ErrorCode(
        "is-a-folder",
        "A folder was given where one crystal is read.",
        "Search it with `bandrt infer FOLDER -o OUT`, or in Python with `bandrt.find(FOLDER)`; or name a file in it.",
    ),
    ErrorCode(
        "bad-argument",
        "A function, or a configuration, was given a value that it does not take.",
        "Give one of the values that the message lists.",
    ),
    ErrorCode(
        "unreadable",
        "A file, folder, table row or archive member cannot be read: no permission, a password, or damaged data.",
        "Check its permissions; unpack it, or copy or download it again.",
    ),
    ErrorCode(
        "not-a-file",
        "What is named like a crystal is a FIFO, a socket or a device, or in an archive a link or a sparse file; it is not opened.",
        "Put the file itself there; of an archive with links, unpack it, or pack it again with `tar --dereference`.",
    ),
    ErrorCode(
        "unsupported-format",
        "The name of a file, or the kind of an object, is none that crystals are read from.",
        "Give the file the ending of what it holds, such as .cif, .vasp, .json or .extxyz; unpack an archive inside an archive.",
    ),
    ErrorCode(
        "too-large",
        "One crystal, or one line or row of a table, takes more than 16 MiB, or a member of an archive 500 times its packed size.",
        "Check that the file is one crystal and not a collection; give each crystal a file or a row of its own.",
    ),
    ErrorCode(
        "empty-file",
        "A file, table or archive member is empty, or a row of a table has no text in its column cif.",
        "Write or download the file again, or leave it out.",
    ),
    ErrorCode(
        "no-cif-column",
        "A table has no column named cif or structure, or two of one name, or a line or entry of JSON has no CIF and no structure.",
        "Give the column or key with the crystals the name cif or structure, or name it by --structure-column.",
    ),
    ErrorCode(
        "repeated-column",
        "A table has several columns of a name that is to be kept (--keep).",
        "Rename all but one of them.",
    ),
    ErrorCode(
        "bad-row",
        "A row of a table has more or fewer values than the table has columns.",
        "Write the table again with a CSV writer, which puts texts with commas and line breaks into quotes.",
    ),
    # what files of each format say
    ErrorCode(
        "not-a-crystal",
        "A file can be read, but there is no crystal in it: no data block or atom sites in a CIF, no structure in a JSON file, no"
        " &SYSTEM in an .in file.",
        "Check that this is the file you mean; a JSON file has to hold structures as pymatgen, JARVIS or OPTIMADE write them.",
    ),
    ErrorCode(
        "several-blocks",
        "A CIF holds several crystals.",
        "Write one file for each crystal, or a table with one CIF a row.",
    ),
    ErrorCode(
        "several-frames",
        "An extended XYZ or XSF file with several frames was given where one crystal is wanted.",
        "Give an extended XYZ file itself to bandrt infer, which reads every frame, or choose a frame with ASE first; split an"
        " XSF file.",
    ),
    ErrorCode(
        "several-structures",
        "A JSON file with a list of crystals, or a .res file or POSCAR with several, was given where one crystal is wanted.",
        "Give a JSON file itself to bandrt infer, which reads every one, or take one out of the list first; split the others.",
    ),
    ErrorCode(
        "cif-syntax",
        "The text is not a well-formed CIF.",
        "Look at the place that the message names. A file that was cut short has to be copied or downloaded again.",
    ),
    ErrorCode(
        "cif-incomplete",
        "A CIF lacks a cell parameter or a coordinate, gives part of its sites apart from their positions, or counts hydrogen atoms"
        " that it does not place.",
        "Add what the message names, or take the structure from another source.",
    ),
    ErrorCode(
        "poscar-syntax",
        "A line of a POSCAR file is not what the format wants there.",
        "Mend the line that the message names; see the description of POSCAR in the VASP manual.",
    ),
    ErrorCode(
        "extxyz-syntax",
        "A frame of an extended XYZ file does not begin with its number of atoms, is cut short, or cannot be read.",
        "Write the file again, for instance with ASE; a file that was cut short has to be copied again.",
    ),
    ErrorCode(
        "xsf-syntax",
        "An XSF file lacks its PRIMVEC or PRIMCOORD, or one of them cannot be read.",
        "Write the file again, for instance with XCrySDen, VESTA or ASE; a file that was cut short has to be copied again.",
    ),
    ErrorCode(
        "aims-syntax",
        "A line of a geometry.in of FHI-aims cannot be read, or places something that is no atom.",
        "Mend the line that the message names; see the description of geometry.in in the manual of FHI-aims.",
    ),
    ErrorCode(
        "res-syntax",
        "A line of a .res file is no instruction of SHELX that is known, cannot be read, or does what is not supported.",
        "Mend the line that the message names, or write the crystal in another format, such as CIF.",
    ),
    ErrorCode(
        "espresso-syntax",
        "An input of Quantum ESPRESSO cannot be read, contradicts itself, or gives the crystal in a way that is not supported.",
        "Mend what the message names; ibrav = 0 with CELL_PARAMETERS, and positions in crystal or angstrom, leave no doubt.",
    ),
    ErrorCode(
        "json-syntax",
        "A file, or a line of a table, is not well-formed JSON.",
        "Write it again. A file that was cut short has to be copied or downloaded again.",
    ),
    ErrorCode(
        "unknown-species",
        "A site holds something that is not a chemical element, or a file does not say which elements it holds.",
        "Write the symbol of one element at every site, and leave a vacancy out. A POSCAR needs the line of symbols before the"
        " numbers of atoms.",
    ),
    ErrorCode(
        "species-mismatch",
        "A file names the species of its atoms twice, and not the same: a POSCAR on its line of symbols or comment and behind a"
        " position, a CIF by the type and label of a site where no formula decides.",
        "Mend the one that is wrong, or take it out; in a CIF, state the formula.",
    ),
    ErrorCode(
        "partial-occupancy",
        "A site is shared by several elements, is not always filled, or is one of several alternatives (a disorder group).",
        "Bands are predicted for ordered crystals only: use an ordered supercell or an ordered approximant.",
    ),
    ErrorCode(
        "not-periodic",
        "A structure has no lattice, or is not periodic along all three axes.",
        "Give a crystal; a surface or a layer needs a cell with vacuum that repeats in all three directions.",
    ),
    ErrorCode(
        "bad-symmetry",
        "The symmetry of a CIF cannot be used: an operation or a symbol cannot be read, or the operations are not a group or do not"
        " fit the cell.",
        "List the operations in the file, or write the structure in space group P1 with all atoms of the cell.",
    ),
    ErrorCode(
        "ambiguous-symmetry",
        "A CIF names a space group with several settings, by origin or axes, and more than one fits what it says.",
        "List the symmetry operations in the file, or write the structure in space group P1.",
    ),
    ErrorCode(
        "contradicting-symmetry",
        "What a CIF says of its symmetry cannot all be true: operations, Hall symbol, name, number, crystal system and the like,"
        " multiplicities of sites.",
        "Remove what is wrong of the two things that the message names. A file that lists all atoms of the cell is in space group"
        " P 1.",
    ),
    ErrorCode(
        "modulated",
        "A CIF describes an incommensurately modulated or composite structure, which repeats in no cell.",
        "Bands are predicted for periodic crystals: use a commensurate approximant, or the average structure if that will do.",
    ),
    ErrorCode(
        "composition-mismatch",
        "The atoms that symmetry makes of the sites of a CIF are not those of the formula that it states.",
        "Check that the file was not cut short, and that its symmetry and its formula are right; mend or remove the formula.",
    ),
    ErrorCode(
        "contradicting-document",
        "A document of JSON says one thing twice, and not the same: fractional and Cartesian positions, lengths, angles or volume"
        " of the cell and its vectors, a number of sites, elements or a formula and the list of sites.",
        "Mend or remove the one that is wrong, or have the program that made the document write it again.",
    ),
    # crystals
    ErrorCode(
        "no-atoms",
        "A structure has a cell, but no atoms in it.",
        "Check that the file is whole; it may have been cut short.",
    ),
    ErrorCode(
        "bad-lattice",
        "The cell is none: a parameter is not a number or too large, the vectors span no volume, or not the one that is stated, or"
        " there is too little room for the atoms.",
        "Check the cell and its unit, which is Å.",
    ),
    ErrorCode(
        "bad-coordinates",
        "A coordinate is not a finite number, or there are more or fewer positions than species.",
        "Mend the site that the message names.",
    ),
    ErrorCode(
        "lattice-too-large",
        "A lattice vector is longer than 10,000 Å, or the cell has more than 100,000,000 Å^3 for each atom.",
        "Check the cell for a lost decimal point and a wrong unit, which is Å.",
    ),
    ErrorCode(
        "coordinate-too-large",
        "A fractional coordinate is beyond 1,000,000, of either sign.",
        "Check the site for a lost decimal point, and whether Cartesian positions are taken for fractional ones.",
    ),
    ErrorCode(
        "number-too-large",
        "A count or an atomic number has more digits than any has.",
        "Mend the number that the message names; the file may be damaged.",
    ),
    ErrorCode(
        "overlapping-atoms",
        "Two atoms, or an atom and its own image in the next cell, are so close to each other that they cannot both be there.",
        "Remove the atom that is there twice, and check the cell and its unit, which is Å.",
    ),
    ErrorCode(
        "reader-failed",
        "A reader, or a library under it, failed in a way that is not foreseen; the message names the class of the error.",
        "Check that the file is sound. If it is, report the problem with its file.",
    ),
    ErrorCode(
        "timed-out",
        "A crystal was given up because reading and featurising it did not end in time.",
        "Reduce it to its primitive cell, or give it more time with --timeout, and --retry-failed to go on with a run.",
    ),
    ErrorCode(
        "crashed",
        "The process that read and featurised a crystal was killed, for want of memory or by a fault in a library.",
        "Check the crystal. If it is sound, report the problem with its file; with more memory or fewer workers it may pass.",
    ),
    ErrorCode(
        "features-failed",
        "The features of a crystal could not be made, for a reason that is not foreseen; the message names the class of the error.",
        "Check that the crystal is sound. If it is, report the problem with its file.",
    ),
    ErrorCode(
        "symmetry-failed",
        "No space group was found for a crystal, or the search for it failed.",
        "Check whether atoms, or the whole cell, are nearly repeated; reduce the crystal to its primitive cell first.",
    ),
    ErrorCode(
        "lattice-too-skewed",
        "The cell is so long, thin or skewed that too many of its images lie near an atom.",
        "Use a reduced cell (Niggli or Delaunay), and check that the cell is not far too small or too large.",
    ),
    ErrorCode(
        "too-many-pairs",
        "More than 4,096 atoms are within reach of one, or in a large cell so many that two million pairs would not hold them.",
        "Reduce the cell to its primitive one, and check that it is not far too small.",
    ),
    ErrorCode(
        "kpath-failed",
        "No path of k-points could be laid through the Brillouin zone: too few points for its segments, no length, or a symmetry"
        " that does not fit the zone.",
        "Ask for more k-points if the message says so; otherwise symmetrise the crystal, or take another k-path scheme.",
    ),
    ErrorCode(
        "unsupported-element",
        "A crystal holds an element that is heavier than any the model knows.",
        "Use an engine that knows it; bandrt inspect says what an engine was trained on.",
    ),
    ErrorCode(
        "too-many-atoms",
        "A cell has more than 10,000 atoms as it is written, or its primitive cell has more than the engine or the memory takes.",
        "Reduce the cell to its primitive one, or give the --max-atoms that the message names, with --retry-failed to go on with a"
        " run; for a plan, export the engine again with a larger --max-atoms.",
    ),
    ErrorCode(
        "too-many-neighbors",
        "An atom has more neighbours than a TensorRT plan takes.",
        "Run the ONNX engine for this crystal.",
    ),
    ErrorCode(
        "out-of-memory",
        "A crystal does not fit into the memory of the device, even alone.",
        "Run it on a device with more memory, or on the CPU.",
    ),
    ErrorCode(
        "non-finite-energies",
        "The model gave energies for a crystal that are not finite numbers.",
        "Check the crystal. If it is sound, report the problem with its file; an fp32 engine may do better than one in fp16.",
    ),
    ErrorCode(
        "too-few-bands",
        "A band structure, or a learned Hamiltonian of a crystal, has fewer bands below or above its Fermi level than are wanted.",
        "Compute more bands, or build the data set with a smaller --n-bands. A Hamiltonian has nine bands for each atom: predict"
        " such a crystal with an engine of another variant.",
    ),
    # band structures that were computed elsewhere
    ErrorCode(
        "malformed",
        "A document, a VASP run, a row of a table of gaps or an item of a data set file is not what it should be, or is damaged.",
        "Read in the message what was found; write or download the data again.",
    ),
    ErrorCode(
        "noncollinear",
        "A VASP run has bands of spinors: it was made with LSORBIT or LNONCOLLINEAR.",
        "Compute the bands without spin-orbit coupling.",
    ),
    ErrorCode(
        "not-line-mode",
        "A VASP run does not say which of its k-points lie on lines.",
        "Compute the bands with a line-mode KPOINTS file, or put one that labels the ends of lines beside vasprun.xml.",
    ),
    ErrorCode(
        "spin-polarised",
        "The spin channels of a band structure differ.",
        "Leave the crystal out: engines have bands without spin, and neither learn magnetic crystals nor are compared with them.",
    ),
    ErrorCode(
        "fermi-level-conflict",
        "The Fermi level of a document contradicts what it says of its occupied bands or electrons, or that it is an insulator.",
        "Correct the Fermi level, or the number of occupied bands or electrons, in the document.",
    ),
    ErrorCode(
        "gap-conflict",
        "The gap between the bands of a document at its Fermi level is none that the gap which it states can be of.",
        "Give energies and Fermi level in eV, and that of the same calculation; correct the stated gap, or leave it out.",
    ),
    ErrorCode(
        "no-structure",
        "A band document holds no structure, and none lies beside it.",
        "Put the structure into the document, or beside it in a file of the same name.",
    ),
    ErrorCode(
        "not-primitive",
        "Bands were computed for another lattice than that of the primitive cell.",
        "Compute them for the primitive cell.",
    ),
    ErrorCode(
        "structure-conflict",
        "The structure beside a band document is not the crystal that the bands were computed for.",
        "Put the right structure there.",
    ),
    ErrorCode(
        "structure-ambiguous",
        "The structure beside a band document can lie in the lattice of the bands in several ways, with other bands in each.",
        "Use a document with its structure inside.",
    ),
    ErrorCode(
        "no-reference",
        "A file or folder of computed bands holds none of the crystals that are drawn.",
        "Give documents the ids of the crystals, inside or as names of files; a single document goes with a single crystal.",
    ),
    ErrorCode(
        "other-crystal",
        "Computed bands are of another crystal than the predicted ones: formula, space group or lattice differ.",
        "Name the bands of this crystal; the message says what differs.",
    ),
    ErrorCode(
        "no-common-path",
        "Computed bands lie on none of the segments of the path that predicted bands are drawn on.",
        "Compute them along segments of that path, such as those that the message lists.",
    ),
    # figures
    ErrorCode(
        "unknown-segment",
        "A segment was asked for that is not on the path of the crystal.",
        "Take one of those that the message lists; `bandrt bands --path` computes bands along any other line.",
    ),
    ErrorCode(
        "bad-style",
        "A style of matplotlib is neither the name of one nor a file of one.",
        "Take one of the names in matplotlib.style.available, or a file of lines such as font.size: 9.",
    ),
    # engines
    ErrorCode(
        "engine-not-found",
        "There is no model file of the name that was given.",
        "Check the path, or leave the engine out to use the one that comes with bandrt.",
    ),
    ErrorCode(
        "engine-format",
        "A model file is neither *.onnx nor *.plan.",
        "Give an engine; one is made of a checkpoint by bandrt export.",
    ),
    ErrorCode(
        "engine-unreadable",
        "A model file is truncated, not an ONNX model, or one that ONNX Runtime cannot load.",
        "Copy the file again, or export it again.",
    ),
    ErrorCode(
        "engine-changed",
        "A model file is not the one that was exported: its weights, graph or manifest do not have the checksum that it carries, or"
        " it does not have the one that the configuration of a Triton server names.",
        "Copy the file again, or export it again; after a change on purpose, export what it was made from.",
    ),
    ErrorCode(
        "engine-external-data",
        "A model file has some of its weights in other files, which may change without it.",
        "Export the checkpoint again: `bandrt export` writes one file.",
    ),
    ErrorCode(
        "engine-mismatch",
        "The inputs and outputs of a model are not those that its manifest names.",
        "Export the model again with this version of bandrt; do not edit an engine by hand.",
    ),
    ErrorCode(
        "bands-fixed",
        "More bands are asked for than the engine knows: one that learned six, or has its solver in the graph, gives no others.",
        "Leave out --bands, or take --engine accurate, or export the learned Hamiltonian with --bands, or --solver lapack.",
    ),
    ErrorCode(
        "hand-over-unavailable",
        "An engine leaves crystals of some elements to another one, which cannot be opened or does not give the same bands.",
        "Mend what the message says of the other engine, or let the first predict all crystals itself: --no-hand-over, in Python"
        " hand_over=False.",
    ),
    ErrorCode(
        "no-band-edges",
        "Effective masses are asked of a crystal that the engine says is a metal.",
        "A metal has no band edges. Look at its bands with `bandrt bands`; if it is an insulator, the engine is wrong about it.",
    ),
    ErrorCode(
        "no-hamiltonian",
        "Bands at other k-points, a density of states or masses are asked of an engine that gives six bands on one path alone, or"
        " of a crystal that an engine leaves to such a one.",
        "Take the engine `accurate`, or one that was exported of a learned Hamiltonian with --solver lapack; of a crystal that it"
        " leaves to another, only what it would say itself can be had: --no-hand-over.",
    ),
    ErrorCode(
        "engine-closed",
        "An engine was asked for predictions after it was closed; results come lazily.",
        "Go through the results of `predict` inside the `with` block, or load the engine again.",
    ),
    ErrorCode(
        "engine-failed",
        "ONNX Runtime or TensorRT gave up while it ran a batch.",
        "Read the reason in the message; what was predicted before is kept. Try a smaller --batch-size, or the CPU with --resume.",
    ),
    ErrorCode(
        "batch-too-large",
        "No optimisation profile of a TensorRT plan takes a batch of this shape.",
        "Build the plan again with larger --max-atoms and --max-batch, or run smaller batches.",
    ),
    ErrorCode(
        "manifest-missing",
        "A model carries no manifest of bandrt, or the manifest of a plan does not lie beside it.",
        "Copy model.plan.json to where the plan is, or make the model with bandrt export.",
    ),
    ErrorCode(
        "manifest-invalid",
        "A manifest, a calibration, or a data set that is read by the same rules, has an unknown key, lacks one, holds a value that"
        " is not allowed, or does not have the checksum that it carries.",
        "Copy the file again, or make it again: manifests by bandrt export, calibrations by bandrt train calibrate; neither is"
        " edited by hand.",
    ),
    ErrorCode(
        "manifest-version",
        "The manifest of a model is of another format than this version of bandrt reads.",
        "Export the checkpoint again with this version, or use the version of bandrt that made the model.",
    ),
    ErrorCode(
        "plan-changed",
        "A TensorRT plan is not the file that the manifest beside it describes.",
        "Copy both files again, or build the plan again.",
    ),
    ErrorCode(
        "plan-target",
        "A TensorRT plan was built for other GPUs than the one it is to run on.",
        "Build it again for this GPU, with the command in the message, or run the ONNX engine.",
    ),
    ErrorCode(
        "plan-version",
        "A TensorRT plan was built with another release of TensorRT than the one that is installed.",
        "Install the release that the message names, or build the plan again with this one.",
    ),
    ErrorCode(
        "plan-not-loaded",
        "TensorRT does not load a plan on this GPU.",
        "Read the reason in the message, and build the plan again on this machine.",
    ),
    ErrorCode(
        "device-unavailable",
        "The device that was asked for cannot be used here: no GPU, no driver, or no package that reaches it.",
        "Do what the message names, or choose another device; bandrt doctor says what works on this machine. The CPU never takes"
        " the place of a GPU by itself.",
    ),
    ErrorCode(
        "warm-up-needs-crystals",
        "Which shapes batches of this engine have depends on neighbours and meshes of the crystals, not on atoms alone.",
        "Name crystals such as those that will be predicted: bandrt warm-up ENGINE PATH...",
    ),
    ErrorCode(
        "unknown-device",
        "The name of a device is not one that there is, or a list of devices has the CPU, or a GPU twice.",
        "Write cpu, cuda or cuda:N, with the number of the GPU for N, for ONNX engines also tensorrt:N or nv-tensorrt-rtx:N, or"
        " several GPUs by commas: cuda:0,cuda:1.",
    ),
    ErrorCode(
        "missing-package",
        "An optional package that is needed for this is not installed.",
        "Install the extra that the message names, for instance: pip install 'bandrt[plot]'.",
    ),
    # outputs
    ErrorCode(
        "output-not-empty",
        "The folder for the results is not empty.",
        "Go on with what is there by --resume, start again by --overwrite where a command has it, or choose another folder.",
    ),
    ErrorCode(
        "system-refused",
        "The system refused to read or write: the disk is full, read-only or broken, or a name is too long.",
        "Make room, write elsewhere, or give shorter names; what was written before is kept, and --resume goes on.",
    ),
    ErrorCode(
        "output-exists",
        "A file, or a training run, is already where one is to be written.",
        "Choose another name, or add --overwrite to replace it.",
    ),
    ErrorCode(
        "output-record",
        "Something is to be written in place of the summary.csv, errors.jsonl or run.json of a run.",
        "Choose another name; results are read from these files.",
    ),
    ErrorCode(
        "output-not-a-file",
        "A folder or a device is where a file is to be written.",
        "Give the name of a file.",
    ),
    ErrorCode(
        "query-syntax",
        "A query cannot be understood.",
        "Compare columns with values by == != < <= > >=, joined by and, or and parentheses; quote the whole query for the shell.",
    ),
    ErrorCode(
        "query-column",
        "A query names a column that summary.csv does not have.",
        "Use one of the columns that the message lists.",
    ),
    ErrorCode(
        "query-value",
        "A query compares a column with a value of another kind, or in a way that the column does not allow.",
        "Give a number for a number, true or false for a yes or no, and text in quotes.",
    ),
    ErrorCode(
        "bad-criterion",
        "What is wanted of crystals cannot be understood: a range of gaps or space groups, or a symbol of an element.",
        "Write a range as LO:HI, the smaller end first, with one end left out where there is none; part symbols by commas.",
    ),
    ErrorCode(
        "no-criterion",
        "Crystals are to be ranked by a probability, and nothing is wanted of their labels that could have one.",
        "Give a gap, or ask for direct or indirect gaps; --as-predicted chooses by what is predicted and known alone.",
    ),
    ErrorCode(
        "no-calibration",
        "How far the engine of some results errs is not known, at all or of direct gaps, so that there are no probabilities.",
        "Fit it with `bandrt train calibrate ENGINE GAPS...`; name the engine with --engine if it is no longer where it was; or"
        " choose with --as-predicted. Results of earlier versions name their engines after a --resume.",
    ),
    ErrorCode(
        "null-engine",
        "The engine null computes nothing, so that there is nothing to choose by, to show, to calibrate or to verify.",
        "Predict with another engine: fast, accurate or your own.",
    ),
    ErrorCode(
        "refined-differs",
        "Refined results hold a crystal that is not one of the results they shall stand in the place of.",
        "Name the folder that was refined, or rank the folders side by side, without --refined.",
    ),
    ErrorCode(
        "same-engine",
        "Results are to be refined by the engine that predicted them.",
        "Predict with a fast engine first, `bandrt infer --engine fast`, and refine with another.",
    ),
    ErrorCode(
        "output-not-a-folder",
        "There is a file where the folder for the results should be.",
        "Choose another name for the folder.",
    ),
    ErrorCode(
        "output-foreign",
        "The folder for the results holds files that bandrt did not write there.",
        "Choose another folder; nothing was deleted.",
    ),
    ErrorCode(
        "output-unwritable",
        "A folder or file cannot be written: no permission, no space, or a part of its path is a file.",
        "Mend that, or choose another place.",
    ),
    ErrorCode(
        "output-locked",
        "Another run is writing to the same folder.",
        "Wait until it has ended, or choose another folder.",
    ),
    ErrorCode(
        "engine-differs",
        "An output folder holds predictions of another engine than the one that was given, or of several engines.",
        "Resume with the engine that the folder was begun with, or write to another one; to convert, name crystals of one engine.",
    ),
    ErrorCode(
        "keep-column",
        "A column that is to be kept (--keep) is in none of the inputs, or has the name of a column that results have themselves.",
        "Give the name as it stands in the header of the table; rename a column there that is called like one of the results.",
    ),
    ErrorCode(
        "options-differ",
        "A run is to be resumed with other options than it was begun with, which would give other numbers or columns.",
        "Leave the option out, or give it as before; or write to another folder.",
    ),
    ErrorCode(
        "bad-shard",
        "The share of the inputs to predict (--shard) is none: not two numbers, or the first is not from 1 to the second.",
        "Give NUMBER/OF, such as 3/16 for the third of sixteen; in a Slurm array that begins at 1, NUMBER is $SLURM_ARRAY_TASK_ID.",
    ),
    ErrorCode(
        "incomplete-runs",
        "Runs that are to be merged have not finished, or a shard is missing, or inputs changed while the shards were run.",
        "Run what the message names, with --resume and the same --shard; or merge what there is by --incomplete.",
    ),
    ErrorCode(
        "repeated-id",
        "Runs that are to be merged have results of one id for different inputs.",
        "Where an input has changed, run again with --resume; where two have one name, predict all in one run, or in its shards.",
    ),
    ErrorCode(
        "output-version",
        "The output folder holds results of an earlier format, which do not say of which input they are, so that none can be kept.",
        "Read or convert it as before; to go on, write to another folder, or start again with --overwrite.",
    ),
    ErrorCode(
        "output-removed",
        "The output folder was removed, renamed or replaced while a run wrote to it.",
        "Run again; leave the folder in its place until the run has ended.",
    ),
    ErrorCode(
        "output-not-found",
        "The folder that results are to be read from is not an output folder of bandrt infer, or not there.",
        "Give the folder that was the OUT of bandrt infer.",
    ),
    ErrorCode(
        "unknown-id",
        "There is no prediction of this name in the output folder.",
        "Take an id from summary.csv; the message names the nearest ones, or why the crystal failed.",
    ),
    ErrorCode(
        "no-predictions",
        "An output folder holds no predictions.",
        "Look into its errors.jsonl, which says what became of every input.",
    ),
    ErrorCode(
        "part-damaged",
        "A file of predictions is damaged.",
        "Run the same command again with --resume, which sets the file aside and predicts its crystals again.",
    ),
    ErrorCode(
        "part-unreadable",
        "A file of predictions cannot be read now, for want of permission or by an error of the disk; it may be whole.",
        "Give the permission, or mend the disk, and try again; the file was left as it is.",
    ),
    ErrorCode(
        "part-version",
        "A file of predictions is of a format that this bandrt does not read.",
        "Use the bandrt that wrote it, or a newer one; the file was left as it is.",
    ),
    ErrorCode(
        "errors-unreadable",
        "The record of the failures, errors.jsonl, cannot be read.",
        "Give the permission, or mend the disk, and try again; the file was left as it is.",
    ),
    ErrorCode(
        "errors-damaged",
        "The record of the failures, errors.jsonl, has other ones than the run counts, such as one that was copied in part.",
        "Copy the folder anew, or run the same command again with --resume, which tries again what has no result.",
    ),
    ErrorCode(
        "run-damaged",
        "The record of a run, run.json, cannot be read.",
        "Run the same command again with --resume, which writes it anew.",
    ),
    ErrorCode(
        "summary-damaged",
        "The table of a run, summary.csv, is missing, has other predictions than the run counts, or is not as bandrt wrote it.",
        "If the folder is a copy, copy it anew; else run the same command again with --resume, which makes it from the parts.",
    ),
    ErrorCode(
        "no-main-guard",
        "A script starts worker processes where every one of them would run it again.",
        'Put what the script does under if __name__ == "__main__":, or work without processes (workers=1).',
    ),
    ErrorCode(
        "worker-died",
        "Worker processes could not be started, or died one after the other without a single result, often for want of memory.",
        "Go on with --resume, which keeps what was done, with fewer workers or more memory.",
    ),
)
"""Codes of the runtime, which the other packages raise, too."""

WARNINGS: Mapping[str, ErrorCode] = by_code(
    ErrorCode(
        "unseen-element",
        "The crystal holds an element that no training crystal had.",
        "Take the bands as a guess, and compute this crystal before you rely on them.",
    ),
    ErrorCode(
        "gap-only-element",
        "The crystal holds an element that only training crystals had whose gap alone was learned.",
        "The gap rests on known crystals, the shape of the bands does not; compute the bands before you rely on them.",
    ),
    ErrorCode(
        "more-atoms",
        "The primitive cell has more atoms than that of any training crystal.",
        "Expect larger errors; compute some crystals of this size to see how large.",
    ),
    ErrorCode(
        "gap-only-atoms",
        "The primitive cell has more atoms than that of any training crystal with bands, though not than those whose gap alone was"
        " learned.",
        "The gap rests on known crystals, the shape of the bands does not; expect larger errors of the bands.",
    ),
    ErrorCode(
        "magnetic",
        "The crystal holds an element that is often magnetic, and the predicted bands know nothing of spin.",
        "If the crystal is magnetic, compute its bands with spin; a predicted metal may well be an insulator.",
    ),
    ErrorCode(
        "spin-orbit",
        "The crystal holds a heavy element, whose spin-orbit coupling moves bands by tenths of an eV and is not in the prediction.",
        "Compute the bands with spin-orbit coupling where such shifts matter, as for narrow gaps and topology.",
    ),
    ErrorCode(
        "odd-electrons",
        "The primitive cell has an odd number of electrons, so that a band is half full and the crystal without magnetism a metal,"
        " but the engine, which counts none, gave it a gap.",
        "Take it for a metal, or compute its bands with spin; `accurate` counts electrons.",
    ),
    ErrorCode(
        "handed-over",
        "The engine leaves crystals of some elements to another one, which the warning names, and which made this prediction.",
        "Judge it by the errors of the engine that is named. `bandrt inspect` lists the elements, and --no-hand-over turns it off.",
    ),
    ErrorCode(
        "no-inference",
        "The engine null made this result, which measures all but a model: its bands are zero and mean nothing.",
        "Take another engine for predictions: fast, accurate or your own.",
    ),
    ErrorCode(
        "layered",
        "Bonds hold the crystal together in layers only: a layered crystal, or one layer or a slab with vacuum around it.",
        "Compute the bands before you rely on them. uncertainty_ev is made larger; with vacuum around the layers, which no training"
        " crystal has, it does not hold.",
    ),
    ErrorCode(
        "chain",
        "Bonds hold the crystal together in chains only: packed chains, or a wire or tube with vacuum around it.",
        "Compute the bands before you rely on them. uncertainty_ev is made larger; with vacuum around the chains, which no training"
        " crystal has, it does not hold.",
    ),
    ErrorCode(
        "molecular",
        "No bond leads from one piece of the crystal to the next: molecules or loosely packed ions, or a molecule in a box.",
        "Compute the bands before you rely on them. uncertainty_ev is made larger; for a molecule in a box, which no training"
        " crystal is, it does not hold.",
    ),
    ErrorCode(
        "isolated-atom",
        "An atom has no neighbour within the cutoff of the model, or no two atoms of the crystal are close enough to be bonded.",
        "The model knows nothing like it, and uncertainty_ev is nan. Check the cell and its unit, which is Å.",
    ),
    ErrorCode(
        "close-atoms",
        "Two atoms are closer than any bond between their elements, two hydrogen atoms closer than 0.5 Å.",
        "Check the positions, and the cell and its unit, which is Å; the bands do not hold for such a crystal, and"
        " uncertainty_ev is nan.",
    ),
    ErrorCode(
        "damaged-file",
        "The crystal comes from a compressed file of several crystals that cannot be read to its end, where its checksum stands.",
        "It may be right, or not what was packed: get the file again, and compare its checksum with that of its source.",
    ),
    ErrorCode(
        "moments-dropped",
        "The file or object gives magnetic moments, of the sites that the warning names by their labels or by element and place, or"
        " of the cell; they were dropped.",
        "The bands are those of the crystal without magnetic order. If the order matters, compute them with spin.",
    ),
    ErrorCode(
        "charge-dropped",
        "The file or object gives a net charge of the cell, which the warning names, or oxidation states or charges of atoms that"
        " add up to it; the crystal was computed as neutral.",
        "The bands are those of the neutral crystal. If it is charged, compute them with the charge; if it is not, see whether an"
        " atom is missing or an oxidation state is wrong.",
    ),
    ErrorCode(
        "symmetry-not-stated",
        "A CIF says nothing of its symmetry, so that the sites it lists were taken for all atoms of the cell.",
        "If symmetry makes more atoms, add the space group or its operations to the file; else write that it is P 1.",
    ),
    ErrorCode(
        "assumed-setting",
        "A CIF gives the number of its space group, or a name that does not tell the axes; the setting that the warning names was"
        " taken.",
        "List the symmetry operations in the file, or write the full name, if another setting is meant.",
    ),
)
"""Warnings of predictions, by what stands before the colon: ``magnetic`` for ``magnetic:Fe``."""
