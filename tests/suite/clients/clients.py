"""Clients in Python: boto3 pushes a key, paramiko and AsyncSSH log in with it.

    clients.py push INSTANCE USER PUBLIC-KEY-FILE         prints the id of the request
    clients.py paramiko|asyncssh USER KEY-FILE COMMAND    runs the command on 127.0.0.1, and prints its output

The two SSH clients have their own implementations of the protocol. They use neither an agent nor other keys.
"""

import asyncio
import pathlib
import sys

# A busy machine takes long.
PATIENCE = 120


def push(instance, user, file):
    import boto3

    client = boto3.client("ec2-instance-connect")
    answer = client.send_ssh_public_key(
        InstanceId=instance,
        InstanceOSUser=user,
        SSHPublicKey=pathlib.Path(file).read_text(),
        AvailabilityZone="us-east-1a",
    )
    assert answer["Success"] is True, answer
    print(answer["RequestId"])


def with_paramiko(user, file, command):
    import paramiko

    client = paramiko.SSHClient()
    client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
    times = dict.fromkeys(["timeout", "banner_timeout", "auth_timeout", "channel_timeout"], PATIENCE)
    client.connect("127.0.0.1", username=user, key_filename=file, allow_agent=False, look_for_keys=False, **times)
    _, output, _ = client.exec_command(command, timeout=PATIENCE)
    said = output.read().decode()
    status = output.channel.recv_exit_status()
    client.close()
    print(said, end="")
    sys.exit(status)


async def with_asyncssh(user, file, command):
    import asyncssh

    options = {"known_hosts": None, "agent_path": None, "config": None, "login_timeout": PATIENCE}
    async with asyncssh.connect("127.0.0.1", username=user, client_keys=[file], **options) as connection:
        result = await connection.run(command)
    print(result.stdout, end="")
    sys.exit(result.exit_status)


if __name__ == "__main__":
    what, *arguments = sys.argv[1:]
    if what == "push":
        push(*arguments)
    elif what == "paramiko":
        with_paramiko(*arguments)
    else:
        asyncio.run(with_asyncssh(*arguments))
