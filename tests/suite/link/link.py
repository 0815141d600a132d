"""A link from this network namespace to a new one, with latency, loss and reordering.

    link.py

The link has two TUN devices: link0 with 10.9.0.1 here, and link1 with 10.9.0.2 and the default route in the new namespace.
This process passes each packet on. It stays in the new namespace: nsenter(1) finds the namespace by its process id.

Each line of standard input sets the link: MILLISECONDS LOSS-OUT LOSS-BACK. The losses are probabilities. `out` is the
direction from the new namespace. A packet is late by MILLISECONDS, and by up to half of that in addition, so packets
overtake each other. The process answers each line, and ends with its input.
"""

import ctypes
import fcntl
import heapq
import os
import random
import select
import struct
import subprocess
import sys
import time

TUNSETIFF = 0x400454CA  # linux/if_tun.h
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
CLONE_NEWNET = 0x40000000  # linux/sched.h
LONGEST = 65536


def run(*words):
    subprocess.run(words, check=True)


def tun(name, address):
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
    run("ip", "address", "add", address, "dev", name)
    run("ip", "link", "set", name, "up")
    return device


def write(device, packet):
    try:
        os.write(device, packet)
    except BlockingIOError:
        pass  # A full queue loses packets, too.


def main():
    here = tun("link0", "10.9.0.1/30")
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    there = tun("link1", "10.9.0.2/30")
    run("ip", "link", "set", "lo", "up")
    run("ip", "route", "add", "default", "dev", "link1")
    print("ready", flush=True)

    delay, losses = 0.0, {there: 0.0, here: 0.0}
    target = {there: here, here: there}
    late = []
    count = 0
    while True:
        wait = max(0.0, late[0][0] - time.monotonic()) if late else None
        readable, _, _ = select.select([0, here, there], [], [], wait)
        now = time.monotonic()
        while late and late[0][0] <= now:
            _, _, device, packet = heapq.heappop(late)
            write(device, packet)
        for device in readable:
            if device == 0:
                line = sys.stdin.readline()
                if not line:
                    return
                milliseconds, out, back = map(float, line.split())
                delay, losses = milliseconds / 1000, {there: out, here: back}
                print("set", flush=True)
                continue
            packet = os.read(device, LONGEST)
            if random.random() < losses[device]:
                continue
            count += 1
            due = now + delay * random.uniform(1, 1.5)
            heapq.heappush(late, (due, count, target[device], packet))


main()
