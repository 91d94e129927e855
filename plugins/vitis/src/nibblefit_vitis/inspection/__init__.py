"""Which layers a DPU runs and which fall to the CPU, and why; without AMD's compiler."""
