#!/usr/bin/env python3
"""Puts the block that `oncegate report` suggests in the place of the one that observes.

    configure.py proxy.conf report.json [FILE with further directives for the block]
"""

import json
import re
import sys

text = open(sys.argv[1]).read()
block = json.load(open(sys.argv[2]))["routes"][0]["suggestion"]["configuration"].rstrip("\n").split("\n")
if len(sys.argv) > 3:
    block[-1:-1] = [line[4:] for line in open(sys.argv[3]).read().rstrip("\n").split("\n")]
indented = "\n".join("    " + line for line in block)
replaced, count = re.subn(r"    idempotency \{\n.*?\n    \}", lambda _: indented, text, count=1, flags=re.DOTALL)
if count == 0:
    sys.exit(f"{sys.argv[1]}: no block 'idempotency' whose lines are indented by four and eight blanks")
with open(sys.argv[1], "w") as file:
    file.write(replaced)
