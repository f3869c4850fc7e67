"""The judge of histories: were acknowledged writes kept, and do reads show what they must?

Responsible for: the verdict over what clients of a cluster saw (`checker`), key by key
(`register`, `linearizability`, `counter`) and partition by partition (`versions`). The simulator
and ``grid chaos`` use the same one.

Not responsible for: making histories. Nothing here knows the cluster: a checker that shared code
with what it checks would share its mistakes.
"""
