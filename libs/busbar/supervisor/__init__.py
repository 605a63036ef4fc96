"""`busbar up`: nats-server, the twin and the services as child processes of one supervisor (architecture.md).

A child that ends is started again; a child that hangs is killed and started again; all of them end with the supervisor,
however it ends.
"""

from busbar.supervisor.child import Backoff, Child, ChildSpec
from busbar.supervisor.console import Console
from busbar.supervisor.host import (
    AlreadyRunningError,
    HostError,
    PortTakenError,
    check_addresses,
    check_port,
    lock_data_dir,
)
from busbar.supervisor.supervisor import Plan, Supervisor

__all__ = [
    "AlreadyRunningError", "Backoff", "Child", "ChildSpec", "Console", "HostError", "Plan", "PortTakenError",
    "Supervisor", "check_addresses", "check_port", "lock_data_dir",
]  # fmt: skip
