"""From records to tables, figures and one page.

`reading` makes `results` of folders, `numbers` makes intervals and tables of returns per seed (`returns`), `formats`
and `figures` show them in the looks of `style`, `page` puts them together. Of a run only its records are read
(`suite.results.records`), and no module imports torch or a simulator.
"""
