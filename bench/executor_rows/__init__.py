"""The rows of `bench.executor`, and the processes in which they are measured."""
