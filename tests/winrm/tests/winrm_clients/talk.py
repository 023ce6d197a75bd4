"""What both clients' programs share: a line of JSON asks, a line of JSON answers."""

import base64
import json
import subprocess
import sys


def output(stdout, stderr, code):
    """The answer that tells of a command."""
    encode = lambda data: base64.b64encode(data).decode()
    return {"stdout": encode(stdout), "stderr": encode(stderr), "exit": code}


def line(job):
    """Program and arguments of a job, quoted as Windows wants them; a line for `cmd` as it is."""
    if job.get("cmd"):
        return job["cmd"], []
    return job["argv"][0], [subprocess.list2cmdline([argument]) for argument in job["argv"][1:]]


def serve(do, refused, fault):
    """Answers until there is nothing more to be asked. `fault` tells the code of an error, if it is a fault."""
    for asked in sys.stdin:
        job = json.loads(asked)
        try:
            answer = do(job)
        except refused as error:
            answer = {"refused": str(error)}
        except Exception as error:
            answer = {"fault": fault(error), "error": "%s: %s" % (type(error).__name__, error)}
        print(json.dumps(answer), flush=True)
