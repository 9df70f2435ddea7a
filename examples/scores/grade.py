"""Reads packets as lines of JSON and answers each with a line."""

import json
import sys

for line in sys.stdin:
    packet = json.loads(line)
    print(json.dumps({"grade": min(5, int(packet["score"] * 1.5))}), flush=True)
