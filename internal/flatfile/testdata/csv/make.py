# Writes CSV files in the dialects of Python's csv module, and beside each what its reader reads from it, with the parameters of the
# URL that say the same. Run it in this folder: python3 make.py
import csv, json, random

random.seed(2026)
dialects = {
    "excel": ("", "utf-8", dict()),
    "unix": ("", "utf-8-sig", dict(dialect="unix")),
    "tabs": ("delimiter=tab", "utf-16", dict(dialect="excel-tab")),
    "german": ("delimiter=semicolon&encoding=cp1252", "cp1252", dict(delimiter=";", lineterminator="\r\n")),
    "russian": ("delimiter=pipe&encoding=cp866&quote=single", "cp866", dict(delimiter="|", quotechar="'", lineterminator="\n")),
    "mac": ("encoding=macintosh", "mac_roman", dict(lineterminator="\r")),
    "escaped": ("escape=backslash", "utf-8", dict(escapechar="\\", doublequote=False, lineterminator="\n")),
    "unquoted": ("quote=none&escape=backslash", "utf-8", dict(quoting=csv.QUOTE_NONE, quotechar=None, escapechar="\\", lineterminator="\n")),
    "nonnumeric": ("", "utf-8", dict(quoting=csv.QUOTE_NONNUMERIC)),
}
for name, (query, encoding, how) in dialects.items():
    letters = "ab1 ,;|\t'\"\n\r#\\" + {"cp866": "ЖЯ", "mac_roman": "üÄ"}.get(encoding, "ü€") + ("𝄞" if encoding.startswith("utf") else "")
    end = how.get("lineterminator", "\n" if how.get("dialect") == "unix" else "\r\n")
    letters = "".join(c for c in letters if c not in "\r\n" or c in end)  # the writer does not quote other line ends, which its reader then takes for such
    rows = [["".join(random.choice(letters) for _ in range(random.choice((0, 1, 2, 5, 9)))) for _ in range(4)] for _ in range(60)]
    with open(name + ".csv", "w", encoding=encoding, newline="") as out:
        csv.writer(out, **how).writerows([["c1", "c2", "c3", "c4"]] + rows)
    with open(name + ".csv", encoding=encoding, newline="") as back:
        if name == "nonnumeric":
            del how["quoting"]  # its reader makes numbers of what has no quotes
        read = list(csv.reader(back, **how))[1:]
    with open(name + ".json", "w") as out:
        json.dump({"query": query, "rows": read}, out, indent=1)
