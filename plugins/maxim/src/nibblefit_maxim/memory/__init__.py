"""Where things lie: processor maps, data memory, weight memory and bias memory."""
