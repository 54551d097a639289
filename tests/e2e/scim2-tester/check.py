"""Runs PyPI scim2-tester against a SCIM endpoint and prints each of its results as a line of JSON.

Usage: check.py BASE_URL BEARER. Which results are failures is the caller's to judge; this ends with
a status other than 0 only if the checks could not be run.
"""

import json
import sys

from httpx2 import Client
from scim2_client.engines.httpx2 import SyncSCIMClient
from scim2_tester import check_server


def main() -> None:
    base_url, bearer = sys.argv[1:]
    headers = {"Authorization": f"Bearer {bearer}"}
    # No proxy of the environment's: the endpoint is on this machine.
    with Client(base_url=base_url, headers=headers, trust_env=False, timeout=30) as http:
        for result in check_server(SyncSCIMClient(http)):
            line = {
                "status": result.status.name,
                "check": result.title,
                "resource": result.resource_type,
                "reason": result.reason,
                "data": None if result.data is None else repr(result.data)[:2000],
            }
            print(json.dumps(line))


main()
