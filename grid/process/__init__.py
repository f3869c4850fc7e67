"""SHELLS, one file per OS process, and the pure glue that connects the cores of a node."""
