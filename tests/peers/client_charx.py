"""aiophoenixcontactcharx 1.0.0 against a CHARX controller: reads everything, writes what a controller would."""

import asyncio
import dataclasses
import importlib
import json
import sys
from typing import Any

# imported by name: it lives only in this script's own environment, where the type checker does not look
charx: Any = importlib.import_module("aiophoenixcontactcharx")


async def main(host: str, port: int, action: str) -> Any:
    async with charx.CharxClient(host, port, timeout=5) as client:
        if action == "write":
            await client.set_watchdog(1, timer_s=45, fallback_current_a=7)
            await client.set_max_current(1, 13)
            await client.set_charging_release(2, False)
            await client.set_availability(3, False)
            await client.reset_last_rfid(2)
            return None
        info = await client.get_device_info()
        data = await client.fetch_data(info.num_controllers)
        return dataclasses.asdict(data)


print(json.dumps(asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3]))))
