"""CORE: tasks, their life and their placement. No I/O, no clock."""
