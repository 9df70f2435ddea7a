"""Reads packets as lines of JSON and answers each with a line that says which one it answers."""

import json
import sys

for line in sys.stdin:
    packet = json.loads(line)
    print(json.dumps({"$id": packet["$id"], "grade": min(5, int(packet["score"] * 1.5))}), flush=True)
