"""What every error code of data sets, training and evaluation means, and what mends it; see `bandrt.error_codes`."""

from __future__ import annotations

from collections.abc import Mapping

from bandrt.error_codes import ErrorCode, by_code

CODES: Mapping[str, ErrorCode] = by_code(
    # downloads
    ErrorCode(
        "materials-project-refused",
        "The Materials Project cannot be reached with this key, did not answer a search, or failed many times in a row.",
        "Check the key and the network, and give the command again later; what was fetched is kept.",
    ),
    ErrorCode(
        "bad-id",
        "A file of ids holds a word that is not an id of the Materials Project.",
        "Write ids such as mp-149, one a line or separated by commas; remarks begin with #.",
    ),
    ErrorCode(
        "nothing-to-resume",
        "A download was to be gone on with in a folder where none was begun.",
        "Say what to fetch, by --ids, --elements, --chemsys or --all, or name the folder of the earlier download.",
    ),
    ErrorCode(
        "other-scheme",
        "A download into a folder whose band structures lie on the lines of another scheme, or of one that is not known.",
        "Choose another folder, or leave --scheme out to go on with what is in this one.",
    ),
    ErrorCode(
        "no-band-structure",
        "The Materials Project has no band structure along lines for this crystal, or one without its structure.",
        "Leave it out, or ask for the lines of another scheme with --scheme.",
    ),
    ErrorCode(
        "download-failed",
        "A band structure could not be fetched.",
        "Give the same command again later; it fetches what is missing and nothing else.",
    ),
    # band data and data sets
    ErrorCode(
        "no-teacher",
        "A prediction to learn from was handed over to another engine, or its engine does not know how far it is off.",
        "Nothing, it is left out; to learn from both engines, make a run of each.",
    ),
    ErrorCode(
        "electrons-unknown",
        "A band document of a metal does not say how many electrons its bands hold, so that they cannot be counted.",
        "Put n_electrons, or n_occupied, into the document.",
    ),
    ErrorCode(
        "electron-count-conflict",
        "The electrons of a band document differ from those of its atoms by other than filled inner shells.",
        "Correct n_electrons in the document; leave out charged cells, and insulators with an odd number of electrons.",
    ),
    ErrorCode(
        "bad-fold",
        "A fold that there is not was named.",
        "Take two folds or more, and count them from 0.",
    ),
    ErrorCode(
        "fold-held-out",
        "A model that held out a fold, and so learned formulas of every split, was to be judged by what splits hold out.",
        "Give a model that was trained without --folds.",
    ),
    ErrorCode(
        "symmetry-conflict",
        "Bands at k-points that symmetry makes equivalent differ by more than is allowed.",
        "Check that the structure is the one that the bands were computed for, relaxed and with its symmetry kept.",
    ),
    ErrorCode(
        "path-not-covered",
        "The computed bands cover too little of the k-path of the data set.",
        "Choose with --scheme the path that the bands were computed on, or accept less of it with --min-mapped.",
    ),
    ErrorCode(
        "no-labels",
        "A document, or a whole split of a data set, has no band energies to learn from.",
        "Add crystals with bands; a data set of gaps goes beside one of bands, with fit --gaps.",
    ),
    ErrorCode(
        "duplicate-id",
        "A document has the id of one that came before it, and was left out.",
        "Give documents different ids, or take out the one that is there twice.",
    ),
    ErrorCode(
        "not-a-gap-table",
        "A table of gaps cannot be read, or lacks one of the columns material_id, cif and band_gap_pbe_ev.",
        "Give the columns these names; gaps are in eV, 0 for metals and empty where they are not known.",
    ),
    ErrorCode(
        "not-a-released-data-set",
        "A *.pt file is not a data set of the authors' released code: a list of mappings of tensors.",
        "Give the file that their code wrote for training, not a checkpoint.",
    ),
    ErrorCode(
        "unsafe-pickle",
        "A *.pt file holds Python objects beside lists, mappings and tensors; opening it could run code, so it was not opened.",
        "Load it where you trust it, and save plain lists, dictionaries and tensors with torch.save.",
    ),
    ErrorCode(
        "edge-direction",
        "Atoms in a data set file of the released code have more neighbours than its graphs can have, read in this direction.",
        "Choose the other direction with --edges.",
    ),
    ErrorCode(
        "output-in-source",
        "The data set would be written into a folder that it is made from.",
        "Choose a folder outside the sources.",
    ),
    ErrorCode(
        "build-differs",
        "A data set was begun with other options, another version of bandrt, or other documents than it is to be gone on with.",
        "Resume with the options that the message names, or with its own sources, or choose another folder.",
    ),
    ErrorCode(
        "dataset-not-found",
        "There is no data set folder of this name.",
        "Check the path; a data set is made by bandrt train dataset.",
    ),
    ErrorCode(
        "not-a-dataset",
        "A folder or file is not a data set, or not a finished one.",
        "Make one with bandrt train dataset; finish an interrupted one with the same command and --resume.",
    ),
    ErrorCode(
        "dataset-version",
        "A data set is of another format than this version of bandrt reads.",
        "Build it again.",
    ),
    ErrorCode(
        "dataset-damaged",
        "A file of a data set is missing or damaged, or is not of the same build as the others.",
        "Give the command that made the data set again, with --resume, which keeps what is whole before the damage, or with"
        " --overwrite where the message says so.",
    ),
    # checkpoints
    ErrorCode(
        "checkpoint-not-found",
        "There is no checkpoint of the name that was given.",
        "Check the path. Training writes checkpoint.pt into its run folder; the word shipped names the one that comes with bandrt.",
    ),
    ErrorCode(
        "checkpoint-invalid",
        "A file is not a checkpoint, is damaged, is not safe to load, or has parts that do not describe one model.",
        "Copy it again, or take the checkpoint of a finished run. Nothing in it was run.",
    ),
    ErrorCode(
        "checkpoint-version",
        "A checkpoint is of another format than this version of bandrt reads.",
        "Update bandrt, or train again.",
    ),
    ErrorCode(
        "hamiltonian-checkpoint",
        "A checkpoint of a learned Hamiltonian was given where a model that learns bands on a path is needed.",
        "Score and combine it with bandrt train hamiltonian score and ensemble, and export it with bandrt export.",
    ),
    ErrorCode(
        "conventions-unused",
        "Options that only checkpoints of the released code need were given for one that says everything itself.",
        "Leave out --edges, --frame, --species-index and --scheme.",
    ),
    ErrorCode(
        "layout-invalid",
        "A checkpoint looks like one of the released code, but its arguments or weights are not laid out so.",
        "Give the file that their training wrote, unchanged.",
    ),
    # training
    ErrorCode(
        "config-invalid",
        "A configuration is not TOML, has a key that nobody reads, or holds a value that is not allowed.",
        "Mend the spelling of the key that the message names, or give it a value that it allows; `train/configs` has examples.",
    ),
    ErrorCode(
        "empty-split",
        "The training, validation or test split that is needed has no crystals.",
        "Add data, or build the data set with other shares, by --validation and --test.",
    ),
    ErrorCode(
        "recipe-mismatch",
        "A data set was not made with the graphs, paths or bands that the model needs.",
        "Build it again by the recipe of the model, with --variant for a new one.",
    ),
    ErrorCode(
        "shape-mismatch",
        "The model has other numbers of bands or k-points than the data set.",
        "Set n_bands and n_kpoints under [model] to those of the data set, or build the data set with those of the model.",
    ),
    ErrorCode(
        "other-recipe",
        "Data sets, checkpoints or engines that should go together were made by different recipes, or with different splits.",
        "Build them with the same options; where an engine hands over to one of other splits, calibrate it with --no-hand-over.",
    ),
    ErrorCode(
        "other-model",
        "A checkpoint, report or engine is about another model than the one it should go with.",
        "Start from a checkpoint of the same configuration, put only such into an ensemble, and evaluate the engine that a card is"
        " for.",
    ),
    ErrorCode(
        "member-missing",
        "A training should start from an ensemble, whose members are trained one by one.",
        "Say with --member from which.",
    ),
    ErrorCode(
        "member-unknown",
        "A checkpoint has no such member: it is one model, or an ensemble of fewer.",
        "Give --member for an ensemble alone, and one of the numbers that the message names.",
    ),
    ErrorCode(
        "other-data",
        "Runs, members or data sets that should go together were made of different data.",
        "Use what was trained on one data set, and that data set.",
    ),
    ErrorCode(
        "other-ensemble",
        "A checkpoint that should judge an ensemble is none of as many members.",
        "Make an ensemble of as many runs for each fold, and give those.",
    ),
    ErrorCode(
        "diverged",
        "The validation error of a training run is no longer a finite number.",
        "Lower optimizer.learning_rate in the configuration, and begin again.",
    ),
    ErrorCode(
        "not-resumable",
        "A folder holds no state to go on from, a damaged one, or no longer the best weights of the run.",
        "Choose another folder. To start over in this one, remove what the message names, or add --overwrite.",
    ),
    ErrorCode(
        "other-run",
        "A run was to be gone on with by another configuration, other data or another order of them, or another starting checkpoint"
        " than it was begun with.",
        "Resume with what the message says it was, or choose another folder.",
    ),
    # ensembles
    ErrorCode(
        "too-few-members",
        "An ensemble was to be made of a single checkpoint.",
        "Give two or more, trained alike with different seeds.",
    ),
    ErrorCode(
        "nested-ensemble",
        "A member of an ensemble is an ensemble itself.",
        "Give the checkpoints that it was made of.",
    ),
    ErrorCode(
        "same-member",
        "Two members of an ensemble have the same weights.",
        "Train them with different seeds, by fit --seed.",
    ),
    ErrorCode(
        "other-bands",
        "Members of an ensemble predict different bands.",
        "Train them on one data set.",
    ),
    ErrorCode(
        "too-few-crystals",
        "There are too few crystals that were not learned to fit the uncertainty of an ensemble, or a calibration, to.",
        "Build the data set with a larger share to validate on, by --validation; of learned Hamiltonians, give more labels; for a"
        " calibration, larger tables of gaps, or a larger --max-atoms.",
    ),
    # evaluation
    ErrorCode(
        "not-a-report",
        "A file is not a report of bandrt train evaluate or calibrate, or one of another format.",
        "Evaluate, or calibrate, again with this version, and give the report that it writes.",
    ),
    ErrorCode(
        "not-a-run",
        "A folder is not a finished run of bandrt train fit.",
        "Give run folders; finish an interrupted run with fit --resume.",
    ),
    ErrorCode(
        "same-run",
        "A run of one configuration and seed was given twice to be compared.",
        "Give each run once.",
    ),
    ErrorCode(
        "compile-unused",
        "A learned Hamiltonian was to be compiled by bandrt bench, and its eigenvalues are not.",
        "Leave out --compile.",
    ),
    ErrorCode(
        "other-configuration",
        "Runs of different configurations were given one name to be compared under.",
        "Give each configuration a name of its own; runs of one name differ in the seed alone.",
    ),
)
"""Codes that this package raises and the runtime does not."""
