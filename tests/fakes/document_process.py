"""A process of its own that changes documents; started by tests of what processes share.

Its arguments are `sqlite PATH` or `elastic URL PREFIX`, then one of

- `count N`: add one to the document `sum` N times, however often somebody else is sooner;
- `write DOCUMENTS`: put the same rising number into as many documents at once, and say it once that is durable;
- `open`: open the documents and end.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fakes.document_stores import open_documents

from domain.documents import ABSENT, Change, Conflict, Documents

KIND = "shared"


def count(documents: Documents, times: int) -> None:
    """Add one as often as asked."""
    done = 0
    while done < times:
        found = documents.get(KIND, ["sum"]).get("sum")
        number = int(found.body["number"]) if found else 0
        try:
            documents.apply([Change(KIND, "sum", {"number": number + 1}, found.revision if found else ABSENT)])
        except Conflict:
            continue
        done += 1


def write(documents: Documents, size: int) -> None:
    """Write until killed."""
    ids = [f"d{number:03d}" for number in range(size)]
    found = documents.get(KIND, ids)
    number = max((int(one.body["number"]) for one in found.values()), default=0)
    while True:
        number += 1
        documents.apply([Change(KIND, doc_id, {"number": number}) for doc_id in ids])
        os.write(1, f"{number}\n".encode())


def main(arguments: list[str]) -> None:
    """Do what the command line says."""
    where = 3 if arguments[0] == "elastic" else 2
    documents = open_documents(arguments[:where])
    if arguments[where] == "count":
        count(documents, int(arguments[where + 1]))
    elif arguments[where] == "write":
        write(documents, int(arguments[where + 1]))
    documents.close()


if __name__ == "__main__":
    main(sys.argv[1:])
