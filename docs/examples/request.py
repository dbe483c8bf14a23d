"""Ask the API once, with the key from the environment."""

import json
import os
import sys
import urllib.error
import urllib.request

request = urllib.request.Request(
    "https://api.example.com/v1/orders",
    headers={"Authorization": f"Bearer {os.environ['API_KEY']}"},
)
try:
    with urllib.request.urlopen(request, timeout=30) as answer:
        print(answer.read().decode())
except urllib.error.HTTPError as refusal:
    problem = json.load(refusal)
    sys.exit(f"{refusal.status} {problem['code']}: {problem['detail']}")
