"""Assets other than connectors: batteries, heat, PV, wind, CHP, in the fixed order of algorithms.md (decision 0010)."""
