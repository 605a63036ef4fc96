"""alfen-eve-modbus-tcp 0.0.17 against an Alfen station: reads every batch it knows, writes a setpoint."""

import importlib
import json
import sys
from typing import Any

# imported by name: it lives only in this script's own environment, where the type checker does not look
alfen: Any = importlib.import_module("alfen_eve_modbus_tcp")


def main(host: str, port: int, action: str) -> Any:
    client = alfen.CarCharger(host=host, port=port, timeout=1, retries=2)
    if action == "write":
        return client.write_with_retry("modbus_slave_max_current", 13.5)
    client.connect()
    values = client.read_batches(range(1, 9))
    client.disconnect()
    return values


print(json.dumps(main(sys.argv[1], int(sys.argv[2]), sys.argv[3])))
