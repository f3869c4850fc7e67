"""The executor: tasks on their way to nodes and workers, and their futures."""
