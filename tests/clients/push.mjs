// Pushes a key with the JavaScript SDK.
//
//   push.mjs INSTANCE USER PUBLIC-KEY-FILE     prints the id of the request, or the name of the error and its status
//
// The SDK finds the emulator by AWS_ENDPOINT_URL_EC2_INSTANCE_CONNECT.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { argv, cwd, exit } from "node:process";

// The packages are in the current folder, and this file is not.
const require = createRequire(cwd() + "/");
const { EC2InstanceConnectClient, SendSSHPublicKeyCommand } = require("@aws-sdk/client-ec2-instance-connect");

const [InstanceId, InstanceOSUser, file] = argv.slice(2);
const push = new SendSSHPublicKeyCommand({ InstanceId, InstanceOSUser, SSHPublicKey: readFileSync(file, "utf8") });
try {
    const answer = await new EC2InstanceConnectClient({}).send(push);
    console.log(answer.RequestId);
    exit(answer.Success ? 0 : 1);
} catch (error) {
    console.log(`${error.name} ${error.$metadata?.httpStatusCode}`);
    console.error(error.message);
    exit(1);
}
