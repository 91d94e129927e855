"""From a float graph and declared numerics to integers: calibration, formats, lowering, twin."""
