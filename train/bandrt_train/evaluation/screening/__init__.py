"""Probabilities of `bandrt screen`: fitted to crystals that an engine has not learned, and tested on others.

`held_out` predicts labelled crystals of held-out formulas, whose columns are `labelled`; `fit` makes a calibration of those of the
validation split, `reliability` compares what it expects with what is found, `report` is both as JSON, `tables` for people;
`calibrate` does it all, `judged` tests a calibration on a data set.
"""
