"""The shipped cores on a virtual clock and a network that can misbehave. Seeded."""
