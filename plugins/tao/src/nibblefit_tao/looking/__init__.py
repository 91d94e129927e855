"""See before cutting: norms of every group, and what each threshold would leave."""
