"""sdm-modbus 0.7.0 (pymodbus 3.6.9) against an SDM630: single values, and its first block as a whole."""

import importlib
import json
import sys
from typing import Any

# imported by name: it lives only in this script's own environment, where the type checker does not look
sdm: Any = importlib.import_module("sdm_modbus")


def main(host: str, port: int, action: str) -> Any:
    meter = sdm.SDM630(host=host, port=port, timeout=2)
    values = {}
    for key, (address, _, table, *_) in meter.registers.items():
        if table.name == "INPUT" and (address < 80 or 342 <= address < 370):
            values[key] = meter.read(key)
    meter.disconnect()
    return values


print(json.dumps(main(sys.argv[1], int(sys.argv[2]), sys.argv[3])))
