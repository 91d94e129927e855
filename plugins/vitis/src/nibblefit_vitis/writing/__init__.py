"""The compile stage: everything that Vitis AI, a board and a person need from a network."""
