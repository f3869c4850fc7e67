"""What ``grid demo`` shows on hosts in miniature, step by step, and checks.

Responsible for: the four demonstrations (``formation.py``, ``speedup.py``, ``failure.py``,
``rejoin.py``), the nodes and their recorded consoles (``stage.py``, ``recording.py``), telling it
(``narration.py``) and its figures (``figures.py``).

Not responsible for: the hosts themselves (``hosts/``), the analysis of the books (``books/``).
"""
