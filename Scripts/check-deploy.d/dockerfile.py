"""Prints the shell commands of a Dockerfile's last stage (its RUN steps), joined into one script."""

import re
import sys

text = open(sys.argv[1]).read()
stage = re.split(r"^FROM ", text, flags=re.M)[-1]
steps = re.findall(r"^RUN ((?:.*\\\n)*.*)$", stage, flags=re.M)
if not steps:
    sys.exit("the last stage has no RUN step")
print("\n".join(step.replace("\\\n", " ") for step in steps))
