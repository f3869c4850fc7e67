"""The analysis of twenty novels, the demonstration behind ``grid bench --books``.

Responsible for: getting books (`corpus`, `pseudonovel`), cutting them into parts (`parts`),
analysing one part (`words`, `significance`, `measures`, `analysis`), merging the summaries
(`report`) and the one-process baseline (`serial`).
Not responsible for: the cluster. Everything here but `run` is a plain function of its arguments,
so the baseline and the cluster run the very same code. Only `corpus.gutenberg` ever opens a
connection.
"""
