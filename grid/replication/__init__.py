"""CORE: backups equal the primary. Empty in this first stage: there is one copy, no backup.

Here will live the (epoch, sequence) stream, cumulative acks, resync and anti-entropy. Until
then a partition dies with its node, and the partition table says so (`VACANT`).
"""
