"""What a program has of a cluster: the session, the map and the executor, blocking or asyncio.

Below them, each built on those before it: ``requests/`` (the way of an operation, and the two
shells), ``entries/`` (what a map can do with its entries), ``code/`` (what travels of a program
with its calls), ``tasks/`` (the executor), ``processing/`` (what runs at the data).

Not here: finding the first node (``finding/``), reading the configuration (``api.py``).
"""
