"""Runs a client that opens a tunnel, and compares what it sends with the wire format of an EC2 Instance Connect Endpoint.

    wire.py NAME ENDPOINT-ID ADDRESS SECONDS CA-FILE COMMAND...

The endpoint of this program is not the emulator's: it shares no code with it. The command finds it by HTTPS_PROXY, must
trust the authority in CA-FILE, which this program writes, and must open a tunnel for port 22 of ADDRESS. SECONDS is
the duration that the client asks for, or 0. Prints a line for each field. The exit status is 1 if one differs.
"""

import base64
import hashlib
import hmac
import os
import re
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
from urllib.parse import parse_qsl, quote, urlsplit

# The most bytes in a frame of AWS CLI 2. The client sends more than this at once.
FRAME = 65_000
INPUT = bytes(range(256)) * 800
GREETING = b"SSH-2.0-wire\r\n"
PATIENCE = 120
# The type of the first record (RFC 8446, 5.1).
TLS_HANDSHAKE = b"\x16"

differs = False


def check(field, is_good, came):
    global differs
    differs |= not is_good
    print(f"{'ok     ' if is_good else 'DIFFERS'} {field}: {came}", flush=True)


def openssl(*words):
    subprocess.run(["openssl", *words], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def certificate(folder, name, authority):
    """Makes an authority, and a certificate for `name`. Returns the TLS context of the endpoint."""
    path = folder.__add__
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    openssl("req", "-x509", *key, "-subj", "/CN=wire", "-days", "2", "-keyout", path("/ca.key"), "-out", authority)
    openssl("req", *key, "-subj", "/CN=endpoint", "-keyout", path("/key"), "-out", path("/csr"))
    with open(path("/names"), "w", encoding="ascii") as names:
        names.write(f"subjectAltName=DNS:{name}\n")
    signing = ["-CA", authority, "-CAkey", path("/ca.key"), "-CAcreateserial", "-CAserial", path("/serial")]
    openssl("x509", "-req", "-in", path("/csr"), *signing, "-days", "2", "-extfile", path("/names"), "-out", path("/pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path("/pem"), path("/key"))
    # If the client offered one of these, the handshake would choose it.
    context.set_alpn_protocols(["h2", "http/1.1", "http/1.0"])
    return context


def head(stream):
    """Reads a request up to its blank line."""
    text = b""
    while not text.endswith(b"\r\n\r\n"):
        byte = stream.recv(1)
        if not byte:
            raise EOFError(f"the client closed the connection after {text!r}")
        text += byte
    first, *fields = text.decode("ascii").removesuffix("\r\n\r\n").split("\r\n")
    return first, [(name.lower(), value.strip()) for name, value in (field.split(":", 1) for field in fields)]


def signature(query, host, date, scope):
    """Signature Version 4 of the query, by its documentation (IAM User Guide, "Create a signed AWS API request")."""
    signed = sorted(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in query)
    request = "\n".join(["GET", "/openTunnel", "&".join(signed), f"host:{host}\n", "host", hashlib.sha256(b"").hexdigest()])
    text = "\n".join(["AWS4-HMAC-SHA256", date, scope, hashlib.sha256(request.encode()).hexdigest()])
    key = b"AWS4" + os.environ["AWS_SECRET_ACCESS_KEY"].encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, text.encode(), "sha256").hex()


def check_query(target, name, endpoint, address, seconds):
    parts = urlsplit(target)
    check("path", parts.path == "/openTunnel", parts.path)
    query = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=True)
    values = dict(query)
    check("each parameter occurs once", len(values) == len(query), len(query))
    own = {"instanceConnectEndpointId": endpoint, "remotePort": "22", "privateIpAddress": address}
    if seconds != "0":
        own["maxTunnelDuration"] = seconds
    for parameter, value in own.items():
        check(parameter, values.get(parameter) == value, values.get(parameter))
    date = values.get("X-Amz-Date", "")
    check("X-Amz-Date", re.fullmatch(r"\d{8}T\d{6}Z", date), date)
    key, _, scope = values.get("X-Amz-Credential", "").partition("/")
    region = os.environ["AWS_DEFAULT_REGION"]
    check("X-Amz-Credential", key == os.environ["AWS_ACCESS_KEY_ID"], key)
    check("its scope", scope == f"{date[:8]}/{region}/ec2-instance-connect/aws4_request", scope)
    token = os.environ.get("AWS_SESSION_TOKEN")
    fixed = {"X-Amz-Algorithm": "AWS4-HMAC-SHA256", "X-Amz-Expires": "60", "X-Amz-SignedHeaders": "host"}
    if token:
        fixed["X-Amz-Security-Token"] = token
    for parameter, value in fixed.items():
        check(parameter, values.get(parameter) == value, values.get(parameter))
    unsigned = [(parameter, value) for parameter, value in query if parameter != "X-Amz-Signature"]
    expected = signature(unsigned, name, date, scope)
    check("X-Amz-Signature", values.get("X-Amz-Signature") == expected, values.get("X-Amz-Signature"))
    others = values.keys() - own.keys() - fixed.keys() - {"X-Amz-Date", "X-Amz-Credential", "X-Amz-Signature"}
    check("no other parameter", not others, sorted(others))


def check_headers(headers, name):
    values = dict(headers)
    check("each header occurs once", len(values) == len(headers), len(headers))
    check("Host", values.get("host") == name, values.get("host"))
    check("Upgrade", values.get("upgrade", "").lower() == "websocket", values.get("upgrade"))
    check("Connection", values.get("connection", "").lower() == "upgrade", values.get("connection"))
    check("Sec-WebSocket-Version", values.get("sec-websocket-version") == "13", values.get("sec-websocket-version"))
    key = values.get("sec-websocket-key", "")
    check("Sec-WebSocket-Key", len(base64.b64decode(key, validate=True)) == 16, key)
    unwanted = ["authorization", "sec-websocket-protocol", "sec-websocket-extensions", "content-length"]
    found = [header for header in unwanted if header in values]
    check("no Authorization, subprotocol, extension or body", not found, found)
    return base64.b64encode(hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()).decode()


def frames(stream):
    """Yields the frames of the client: whether FIN is set, the opcode, whether it is masked, and the data."""

    def read(count):
        data = b""
        while len(data) < count:
            more = stream.recv(count - len(data))
            if not more:
                return None
            data += more
        return data

    while (start := read(2)) is not None:
        length = start[1] & 127
        if length > 125:
            length = int.from_bytes(read(2 if length == 126 else 8), "big")
        is_masked = bool(start[1] & 128)
        mask = read(4) if is_masked else bytes(4)
        data = bytes(byte ^ mask[place % 4] for place, byte in enumerate(read(length)))
        yield bool(start[0] & 128), start[0] & 127, is_masked, data


def check_frames(stream):
    stream.sendall(bytes([0x82, len(GREETING)]) + GREETING)
    came, sizes, is_good = b"", [], True
    for fin, opcode, is_masked, data in frames(stream):
        is_good &= fin and opcode == 2 and is_masked
        sizes.append(len(data))
        came += data
        if len(came) >= len(INPUT) or not is_good:
            break
    check("frames: binary, FIN, masked", is_good, f"{len(sizes)} frames")
    check("bytes of a frame", max(sizes, default=0) <= FRAME, max(sizes, default=0))
    check("the client's bytes", came == INPUT, len(came))
    stream.sendall(bytes([0x88, 2]) + (1000).to_bytes(2, "big"))
    answer = next(((opcode, data) for _, opcode, _, data in frames(stream) if opcode == 8), None)
    check("the client's close", answer in [(8, (1000).to_bytes(2, "big")), (8, b""), None], answer)


def serve(listener, context, name, endpoint, address, seconds):
    names = []
    context.sni_callback = lambda _, sni, __: names.append(sni)
    beginning = b""
    # A client may first test whether something listens.
    while not beginning:
        stream, _ = listener.accept()
        stream.settimeout(PATIENCE)
        beginning = stream.recv(1, socket.MSG_PEEK)
    if beginning != TLS_HANDSHAKE:
        first, _ = head(stream)
        check("the proxy's request", first.removesuffix(" HTTP/1.0").removesuffix(" HTTP/1.1") == f"CONNECT {name}:443", first)
        stream.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    stream = context.wrap_socket(stream, server_side=True)
    check("SNI", names == [name], names)
    check("no ALPN", stream.selected_alpn_protocol() is None, stream.selected_alpn_protocol())
    check("TLS", stream.version() in ["TLSv1.2", "TLSv1.3"], stream.version())
    first, headers = head(stream)
    method, target, version = first.split(" ")
    check("method and version", (method, version) == ("GET", "HTTP/1.1"), (method, version))
    check_query(target, name, endpoint, address, seconds)
    accept = check_headers(headers, name)
    answer = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"]
    stream.sendall("\r\n".join([*answer, f"Sec-WebSocket-Accept: {accept}", "", ""]).encode())
    check_frames(stream)
    try:
        stream.unwrap().close()
    except (OSError, ssl.SSLError):
        pass  # The client has closed its connection already.


def main():
    name, endpoint, address, seconds, authority, *command = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        context = certificate(folder, name, authority)
    listener = socket.create_server(("127.0.0.1", 0))
    place = f"127.0.0.1:{listener.getsockname()[1]}"
    serving = threading.Thread(target=serve, args=[listener, context, name, endpoint, address, seconds])
    serving.daemon = True
    serving.start()
    environment = {**os.environ, "HTTPS_PROXY": f"http://{place}", "WIRE": place}
    client = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    greeting = client.stdout.read(len(GREETING))
    client.stdin.write(INPUT)
    client.stdin.flush()
    serving.join(PATIENCE)
    check("the endpoint is done", not serving.is_alive(), serving.is_alive())
    client.stdin.close()
    status = client.wait(PATIENCE)
    check("the client's output", greeting == GREETING, greeting)
    check("the client's exit status", status == 0, status)
    sys.exit(differs)


main()
