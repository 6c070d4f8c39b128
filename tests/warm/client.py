"""Stands for `python -m MODULE ARGUMENT ...` in a job: asks the server for a fork that runs it, and ends as it does."""

import json
import os
import signal
import socket
import sys


def main() -> None:
    _, _, module, *arguments = sys.argv
    asked = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    asked.connect("\0" + os.environ["WARM_JOBS"])
    request = {
        "module": module,
        "arguments": [module, *arguments],
        "folder": os.getcwd(),  # noqa: PTH109 (pathlib takes longer to load than all else here)
        "environment": dict(os.environ),
        "group": os.getpgid(0),
    }
    socket.send_fds(asked, [json.dumps(request).encode()], [0, 1, 2])
    child = int(asked.recv(32))
    # A signal to the process group reaches the fork by itself; one to this process is passed on.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, lambda number, _: os.kill(child, number))
    answer = asked.recv(32)
    status = int(answer) if answer else -signal.SIGKILL
    if status < 0:
        if status != -signal.SIGKILL:
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    sys.exit(status)


main()
