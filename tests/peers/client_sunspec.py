"""pysunspec2 1.3.7 against an inverter or a battery: scans the models, decodes them by the standard's own files, writes
a limit (`write`) or lets the battery discharge (`discharge`)."""

import importlib
import json
import sys
from typing import Any

# imported by name: it lives only in this script's own environment, where the type checker does not look
sunspec: Any = importlib.import_module("sunspec2.modbus.client")


def main(host: str, port: int, action: str) -> Any:
    device = sunspec.SunSpecModbusClientDeviceTCP(slave_id=1, ipaddr=host, ipport=port, timeout=5)
    device.scan()
    device.connect()
    if action == "write":
        controls = device.models[123][0]
        controls.WMaxLimPct_RvrtTms.value = 60
        controls.WMaxLimPct.cvalue = 42.5
        controls.WMaxLim_Ena.value = 1
        controls.write()
    if action == "discharge":
        controls = device.models[704][0]
        controls.WSetRvrtTms.value = 60
        controls.WSetRvrt.cvalue = 0
        controls.WSetEnaRvrt.value = 1
        controls.WSetMod.value = 1
        controls.WSet.cvalue = 12_500
        controls.WSetEna.value = 1
        controls.write()
    models = {}
    for number, (model,) in ((key, value) for key, value in device.models.items() if isinstance(key, int)):
        model.read()
        models[number] = {name: point.cvalue for name, point in model.points.items()}
        assert not model.error_info, model.error_info
    device.close()
    return models


print(json.dumps(main(sys.argv[1], int(sys.argv[2]), sys.argv[3])))
