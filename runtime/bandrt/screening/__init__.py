"""From the results of runs to a shortlist: which crystals have probably what is wanted, and how many of them will.

`criteria` says what is wanted, `table` reads the summaries of runs, `calibrations` finds how far their engines err, `features` and
`probability` make of both the probability that a label would meet the criteria, `shortlist` ranks and counts, `write` and `cif`
write what was chosen.
"""
