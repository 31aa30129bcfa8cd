"""A run as one page that needs no network: what was run, what was found, and how far it can be trusted.

`write` makes the file. `record` says what was run, `expected` how far off the predictions are expected to be, `kinds` which
warnings and failures there are and what they mean, `columns` are the table, `chosen` says which crystals are drawn, and `drawings`
how. `page` puts all of it into HTML, with what lies in ``assets``: the page's own style and scripts.
"""
