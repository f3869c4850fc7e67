"""Finding a cluster from outside: where its nodes answer, for programs that are none themselves."""
