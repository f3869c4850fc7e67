"""A cluster of real processes under a verifying workload while its nodes are killed.

Responsible for: nodes that can be killed and started one by one (`nodes`, `node`), clients that
write down what they do and see (`workload`, `worker`, `keyspace`, `gate`, `availability`), the
decision what dies when (`plan`), what the cluster says of itself (`state`), looking at everything
in quiet and asking what survived (`judge`), all of it in turn (`run`), the figures (`report`).

Not responsible for: the verdict (``verification/``), options and output (``chaos_command.py``).
Nothing but `nodes` starts a process, so all else is tested with a cluster that is made up.
"""
