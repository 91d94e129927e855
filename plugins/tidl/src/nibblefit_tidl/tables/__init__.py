"""What each generation, release and device runs: TI's operator tables as data, and their judge."""
