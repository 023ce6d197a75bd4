"""Runs commands by pywinrm's protocol."""

from winrm.exceptions import InvalidCredentialsError, WinRMOperationTimeoutError, WSManFaultError
from winrm.protocol import Protocol
from requests_credssp.exceptions import AuthenticationException, NTStatusException

import talk

SIGNAL = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell/signal/"


def connect(job):
    return Protocol(
        endpoint=job["url"],
        transport=job["auth"],
        username=job["user"],
        password=job["password"],
        server_cert_validation="validate",
        ca_trust_path=job["certificate"],
        message_encryption=job.get("encryption") or "auto",
        operation_timeout_sec=job.get("timeout", 20),
        read_timeout_sec=60,
        kerberos_hostname_override=job.get("host_name"),
    )


def receive(protocol, shell, command):
    try:
        return protocol.get_command_output_raw(shell, command)
    except WinRMOperationTimeoutError:
        return b"", b"", None, False


def run(job, protocol, shell):
    program, arguments = talk.line(job)
    command = protocol.run_command(
        shell, program, arguments, skip_cmd_shell=not job.get("cmd"), console_mode_stdin=False)
    try:
        if job.get("stdin") is not None:
            for piece in job["stdin"]:
                protocol.send_command_input(shell, command, piece.encode())
            protocol.send_command_input(shell, command, b"", end=True)
        stdout, stderr, done = b"", b"", False
        while not done:
            if job.get("signal") == "terminate" and b"ready" in stdout:
                protocol.cleanup_command(shell, command)
            out, err, code, done = receive(protocol, shell, command)
            stdout, stderr = stdout + out, stderr + err
        return talk.output(stdout, stderr, code)
    finally:
        protocol.cleanup_command(shell, command)


def do(job):
    protocol = connect(job)
    if job.get("shells"):
        shells = []
        try:
            for _ in range(job["shells"]):
                shells.append(protocol.open_shell())
        finally:
            for shell in shells:
                protocol.close_shell(shell, close_session=False)
        return {}
    shell = protocol.open_shell(env_vars=job.get("environment"), working_directory=job.get("directory"),
                                codepage=65001, noprofile=True, idle_timeout="PT600S")
    try:
        return run(job, protocol, shell)
    finally:
        protocol.close_shell(shell)


talk.serve(do, (InvalidCredentialsError, AuthenticationException, NTStatusException),
           lambda error: (error.wsman_fault_code or error.wmierror_code) if isinstance(error, WSManFaultError) else None)
