"""DPUs: names, fingerprints, and the limits of their engines, as data with sources."""
