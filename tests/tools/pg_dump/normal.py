"""A dump without what is chance: psql's key, empty lines, and the order of rows in their heaps."""

import sys

rows = None
for line in sys.stdin:
    line = line.rstrip("\n")
    if rows is not None:
        if line == "\\.":
            print("\n".join(sorted(rows) + [line]))
            rows = None
        else:
            rows.append(line)
    elif line.startswith("COPY ") and line.endswith(" FROM stdin;"):
        print(line)
        rows = []
    elif line and not line.startswith(("\\restrict", "\\unrestrict")) and line != "--":
        print(line)
