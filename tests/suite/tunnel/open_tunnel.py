"""Opens a tunnel through an EC2 Instance Connect Endpoint, as `aws ec2-instance-connect open-tunnel` of AWS CLI 2 does.

    open_tunnel.py ENDPOINT-ID DNS-NAME ADDRESS PORT [SECONDS]    connects standard input and output
    open_tunnel.py sign CASES                                     signs the cases of a JSON text, prints their URLs

The frames are those of the package `websockets`, the signature is botocore's. Both read the environment: HTTPS_PROXY,
SSL_CERT_FILE, and the credentials of AWS.

The client of `websockets` with threads is not used: it changes the socket's timeout while another thread reads, and that
read can then fail.
"""

import asyncio
import json
import os
import sys
import threading
from urllib.parse import urlencode

from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

# AWS CLI 2 sends at most this many bytes in a frame.
FRAME = 65_000
# On a busy machine, the ten seconds of the package may be too short.
OPENING = 60


def presign(credentials, host, parameters, region="us-east-1"):
    request = AWSRequest("GET", f"https://{host}/openTunnel?{urlencode(parameters)}", headers={"host": host})
    SigV4QueryAuth(credentials, "ec2-instance-connect", region, expires=60).add_auth(request)
    return request.url


def sign(cases):
    for case in json.loads(cases):
        credentials = Credentials(case["access_key"], case["secret_key"], case["session_token"])
        print(presign(credentials, case["host"], dict(case["parameters"]), case["region"]))


def send_input(tunnel, loop):
    """Runs in a thread of its own, because the end of the process must not wait for input."""

    def wait_for(sending):
        asyncio.run_coroutine_threadsafe(sending, loop).result()

    try:
        while data := os.read(0, FRAME):
            wait_for(tunnel.send(data))
    except ConnectionClosed:
        return
    wait_for(tunnel.close())


async def tunnel(endpoint, name, address, port, *seconds):
    parameters = {"instanceConnectEndpointId": endpoint, "remotePort": port, "privateIpAddress": address}
    if seconds:
        parameters["maxTunnelDuration"] = seconds[0]
    credentials = Credentials(
        os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"], os.environ.get("AWS_SESSION_TOKEN")
    )
    url = "wss" + presign(credentials, name, parameters).removeprefix("https")
    options = {"compression": None, "max_size": None, "open_timeout": OPENING, "user_agent_header": "open_tunnel"}
    try:
        async with connect(url, **options) as opened:
            arguments = [opened, asyncio.get_running_loop()]
            threading.Thread(target=send_input, args=arguments, daemon=True).start()
            async for message in opened:
                assert isinstance(message, bytes), "AWS CLI 2 fails at a text frame"
                os.write(1, message)
            if opened.close_code != 1000:
                sys.exit(f"Websocket Closure Reason: {opened.close_reason}")
    except InvalidStatus as refused:
        sys.exit(f"{refused.response.status_code} {refused.response.body.decode()}")
    except ConnectionClosed as closed:
        sys.exit(f"Websocket Closure Reason: {closed.rcvd.reason if closed.rcvd else closed}")


if __name__ == "__main__":
    if sys.argv[1] == "sign":
        sign(sys.argv[2])
    else:
        asyncio.run(tunnel(*sys.argv[1:]))
