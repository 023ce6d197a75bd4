"""Runs commands by pypsrp's WinRS shell."""

from urllib.parse import urlparse

from pypsrp.exceptions import AuthenticationError, WSManFaultError
from pypsrp.shell import Process, SignalCode, WinRS
from pypsrp.wsman import WSMan
from requests_credssp.exceptions import AuthenticationException, NTStatusException

import talk

# What pypsrp raises itself, and what CredSSP does below it.
REFUSED = (AuthenticationError, AuthenticationException, NTStatusException)


def connect(job):
    url = urlparse(job["url"])
    tls = url.scheme == "https"
    encryption = job.get("encryption") or ("never" if tls else "always")
    domain = {}
    if job.get("host_name"):
        domain = {"negotiate_service": "HTTP", "negotiate_hostname_override": job["host_name"]}
    return WSMan(
        url.hostname,
        port=url.port,
        ssl=tls,
        auth=job["auth"],
        username=job["user"],
        password=job["password"],
        cert_validation=job["certificate"] if tls else True,
        encryption=encryption,
        operation_timeout=job.get("timeout", 20),
        read_timeout=60,
        credssp_auth_mechanism=job.get("mechanism", "auto"),
        credssp_minimum_version=job.get("minimum_version", 2),
        **domain,
    )


def run(job, shell):
    program, arguments = talk.line(job)
    process = Process(shell, program, arguments, no_shell=not job.get("cmd"))
    process.begin_invoke()
    if job.get("stdin") is not None:
        for piece in job["stdin"]:
            process.send(piece.encode(), end=False)
        process.send(b"", end=True)
    if job.get("signal"):
        while b"ready" not in process.stdout:
            process.poll_invoke()
        process.signal({"ctrl_c": SignalCode.CTRL_C, "terminate": SignalCode.TERMINATE}[job["signal"]])
    process.end_invoke()
    process.signal(SignalCode.TERMINATE)
    return talk.output(process.stdout, process.stderr, process.rc)


def do(job):
    with connect(job) as wsman:
        if job.get("shells"):
            shells = []
            try:
                for _ in range(job["shells"]):
                    shell = WinRS(wsman)
                    shell.open()
                    shells.append(shell)
            finally:
                for shell in shells:
                    shell.close()
            return {}
        if job.get("leave"):
            WinRS(wsman).open()
            return {}
        with WinRS(wsman, environment=job.get("environment"), working_directory=job.get("directory"),
                   codepage=65001, no_profile=True, idle_time_out=job.get("idle_timeout", 600)) as shell:
            return run(job, shell)


talk.serve(do, REFUSED, lambda error: error.code if isinstance(error, WSManFaultError) else None)
