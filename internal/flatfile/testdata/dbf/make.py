# Writes tables of Clipper, FoxPro and Visual FoxPro with Python's dbf (Debian: python3-dbf), runs make.pl for those of dBase, and
# writes beside each what another program, dbfread (python3-dbfread), reads from it. Run it in this folder: /usr/bin/python3 make.py
import datetime, decimal, glob, json, os, subprocess
import dbf, dbfread

def make(name, kind, spec, codepage, rows):
    t = dbf.Table(name, spec, dbf_type=kind, codepage=codepage)
    t.open(mode=dbf.READ_WRITE)
    for r in rows:
        t.append(r)
    dbf.delete(t[2])
    t.close()

day, at = datetime.date(2024, 2, 29), datetime.datetime(2024, 2, 29, 23, 59, 58)
plain = "id N(6,0); name C(20); notes M; ok L; born D; amount N(12,3)"
rows = [(1, "Zoë Müller", "ein Memo\r\nmit ß", True, day, 1.5), (None, "", "", None, None, None),
        (3, "gone", "deleted", False, day, 3), (-4, " x", "y" * 1500, False, datetime.date(1, 1, 1), -3.25)]
make("db3_850.dbf", "db3", plain, "cp850", rows)
make("foxpro_437.dbf", "fp", plain, "cp437", rows)
make("clipper_866.dbf", "clp", "id N(6,0); name C(700)", "cp866", [(1, "Привет"), (2, "x" * 700), (3, "gone"), (4, "")])
make("visual_1252.dbf", "vfp", "id I; name C(20) null; notes M; ok L null; born D null; amount N(12,3) null; cost Y; ratio B; stamp T null; bin C(5) binary; pic P", "cp1252", [
    (1, "Zoë €", "memo ß", True, day, decimal.Decimal("1.5"), decimal.Decimal("-922337203685477.5807"), 0.1, at, b"\x00\x01\xff 2", b"\x89PNG\x00"),
    (-2147483647, None, "", None, None, None, decimal.Decimal("0.0001"), -1e300, None, b"     ", b""),
    (3, "gone", "", True, day, 3, 3, 3, at, b"abcde", b""),
    (2147483646, "", "z" * 1000, False, day, decimal.Decimal("-3.25"), 5, 0, at, b"abc", b"x" * 100)])
for old in glob.glob("xbase*"):
    os.remove(old)
subprocess.run(["perl", "make.pl"], check=True)

def plain_value(v):
    if isinstance(v, (datetime.date, datetime.datetime)):
        return str(v)
    if isinstance(v, decimal.Decimal):
        return float(v)
    if isinstance(v, bytes):
        return "x" + v.hex()
    return int(v) if isinstance(v, bool) else v

for path in sorted(glob.glob("*.dbf")):
    page = path[:-4].split("_")[1] if "_" in path else "ascii"
    t = dbfread.DBF(path, load=True, encoding="cp" + page if page.isdigit() else page)
    with open(path[:-4] + ".json", "w") as out:
        json.dump({"fields": t.field_names, "records": [[plain_value(v) for v in r.values()] for r in t.records],
                   "deleted": [[plain_value(v) for v in r.values()] for r in t.deleted]}, out, indent=1)
