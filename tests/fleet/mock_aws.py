"""The real AWS CLI on a moto server of its own."""

import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

BIN = pathlib.Path(sys.executable).parent


class Refused(Exception):
    """The CLI ended with an error."""


class Mock:
    """`with Mock() as aws: aws("s3api", "list-buckets")` returns the parsed output."""

    def __enter__(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.folder = tempfile.TemporaryDirectory()
        self.log = open(pathlib.Path(self.folder.name) / "moto.log", "w+")
        self.server = subprocess.Popen([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
                                       stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        # moto takes the bucket from the path of a URL only if the host is localhost.
        url = f"http://localhost:{port}"
        self.environment = {
            "PATH": f"{BIN}:{os.environ.get('PATH', '/usr/bin:/bin')}", "HOME": self.folder.name, "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "not-a-secret", "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_PAGER": "", "AWS_MAX_ATTEMPTS": "1", "AWS_EC2_METADATA_DISABLED": "true",
        }
        for _ in range(600):
            try:
                urllib.request.urlopen(f"{url}/moto-api/", timeout=5).read()
                return self
            except OSError:
                time.sleep(0.1)
        self.__exit__()
        raise RuntimeError("moto does not start")

    def __exit__(self, *_):
        self.server.terminate()
        self.server.wait()
        self.log.close()
        self.folder.cleanup()

    def said(self):
        """The log of moto."""
        return (pathlib.Path(self.folder.name) / "moto.log").read_text()

    def __call__(self, *arguments):
        words = [word if isinstance(word, str) else json.dumps(word) for word in arguments]
        run = subprocess.run([str(BIN / "aws"), *words, "--output", "json"], env=self.environment, stdin=subprocess.DEVNULL,
                             capture_output=True, text=True)
        if run.returncode:
            raise Refused(f"aws {' '.join(words)[:200]}: {run.stderr[-2000:]}")
        return json.loads(run.stdout) if run.stdout.strip().startswith(("{", "[")) else {"text": run.stdout}
