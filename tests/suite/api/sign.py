"""Signs the cases of a JSON text as AWS's clients do, and prints the header fields of each as a line of JSON."""

import json
import sys

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

for case in json.loads(sys.argv[1]):
    credentials = Credentials(case["access_key"], case["secret_key"], case["session_token"])
    # As in a client, `Host` is not among the fields: botocore signs the host of the URL.
    request = AWSRequest("POST", f"http://{case['host']}/", headers=dict(case["headers"]), data=case["body"].encode())
    SigV4Auth(credentials, case["service"], case["region"]).add_auth(request)
    print(json.dumps(list(request.headers.items())))
