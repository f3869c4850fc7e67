"""A cluster of real processes under a verifying workload while its nodes are killed.

Responsible for: nodes that can be killed and started one by one (`nodes` and `node`; `host_nodes`
on hosts in miniature), clients that write down what they do and see (`workload`, `worker`,
`at_data`, `keyspace`, `gate`, `availability`), entries that only lie there (`ballast`), the
decision what dies when (`plan`), what the cluster says of itself (`state`), looking at everything
in quiet and asking what survived (`judge`), the memory of processes (`memory`, `resident`), all of
it in turn (`run`), the figures (`report`).

Not responsible for: the verdict (``verification/``), options and output (``chaos_command.py``).
Nothing but `nodes` and `host_nodes` starts a process. All else knows a cluster as `target` says, so
it is tested with one that is made up.
"""
