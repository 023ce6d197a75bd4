"""Commands and uploads by pypsrp's WinRS shell: a line of JSON asks for some, a line answers when they are done."""

import json
import subprocess
import sys
from urllib.parse import urlparse

from pypsrp.shell import Process, SignalCode, WinRS
from pypsrp.wsman import WSMan


def run(shell, argv, pieces=()):
    # Quoted as Windows' programs take their arguments apart, which pypsrp leaves to its caller.
    quoted = [subprocess.list2cmdline([argument]) for argument in argv[1:]]
    process = Process(shell, argv[0], quoted, no_shell=True)
    process.begin_invoke()
    for piece, last in pieces:
        process.send(piece, end=last)
    process.end_invoke()
    process.signal(SignalCode.TERMINATE)
    if process.rc:
        raise RuntimeError("%s ended with %d: %s" % (argv[0], process.rc, process.stderr))


def pieces(data, size):
    """As large as the guest takes them."""
    for at in range(0, len(data), size):
        yield data[at : at + size], at + size >= len(data)


def serve(to):
    url = urlparse(to["url"])
    tls = url.scheme == "https"
    wsman = WSMan(
        url.hostname,
        port=url.port,
        ssl=tls,
        auth="negotiate",
        username=to["user"],
        password=to["password"],
        cert_validation=to["certificate"] if tls else True,
        encryption="never" if tls else "always",
    )
    with wsman, WinRS(wsman, codepage=65001, no_profile=True, idle_time_out=600) as shell:
        wsman.update_max_payload_size()
        data = open(to["file"], "rb").read()
        print("{}", flush=True)
        for line in sys.stdin:
            job = json.loads(line)
            for _ in range(job["times"]):
                sent = pieces(data, wsman.max_payload_size) if job["upload"] else ()
                run(shell, job["argv"], sent)
            print("{}", flush=True)


serve(json.loads(sys.stdin.readline()))
