"""What a person sees of a running cluster: a model of it, and its picture in a terminal.

``document.py`` is the status as it comes, ``model.py`` is pure and holds what is known, ``view.py``
draws it with rich (``member_rows.py``, ``partition_grid.py``, ``cells.py`` are its parts), and
``terminal.py`` brings it to the terminal or, where there is none, prints lines; ``keyboard.py``
reads its keys. In ``grid up`` the supervisor feeds it (``observer.py``) from its one thread;
elsewhere a client does (``watching.py``); ``event_lines.py`` makes lines of events for both.
``tables.py`` is what commands print for people, ``answers.py`` for programs; ``safety.py`` is the
verdict of ``grid wait-safe``, ``patience.py`` the line of a command that searches for a node.

Not here: gathering the status and choosing what is worth an event.
"""
