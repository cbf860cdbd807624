"""An SQLite database of two tables and an index.

v2: 1 % of the rows of each table updated anywhere, 0.2 % of the events deleted, 3 % appended: pages change all over the file.
"""

import shutil
import sqlite3

from . import seeded

USERS, EVENTS = 120_000, 620_000
KINDS = ("view", "click", "buy", "login", "logout", "error")
TABLES = """
create table users(id integer primary key, name text, email text, bio text, score real, created int);
create table events(id integer primary key, user_id int, kind text, payload text, ts int);
"""


def make(out, scale):
    """Both versions."""
    first, second = seeded.versions(out, "sqlite", 2)
    people, count = round(USERS * scale), round(EVENTS * scale)
    database = opened(first / "app.db")
    database.executescript(TABLES)
    database.executemany("insert into users values(?,?,?,?,?,?)", users(people))
    database.executemany("insert into events values(?,?,?,?,?)", events(0, count, people, 42))
    database.execute("create index ev_user on events(user_id, ts)")
    closed(database)
    shutil.copyfile(first / "app.db", second / "app.db")
    database = opened(second / "app.db")
    change(database, people, count)
    closed(database)


def opened(path):
    """Without a journal: nothing but the bytes at the end is wanted."""
    database = sqlite3.connect(path)
    for setting in ("page_size=4096", "journal_mode=off", "synchronous=off"):
        database.execute(f"pragma {setting}")
    return database


def closed(database):
    """All of it on disk."""
    database.commit()
    database.close()


def users(count):
    """Rows of people with a line or two about each."""
    draw = seeded.random(41)
    scores = draw.normal(0, 1, count).tolist()
    for number, bio in enumerate(seeded.sentences(draw, count, 4, 23)):
        name = f"{bio.partition(' ')[0]}{number}"
        yield number, name, f"{name}@example.org", bio, scores[number], 1_600_000_000 + number * 37


def events(first, count, people, seed):
    """Rows of what they did, with a little JSON."""
    draw = seeded.random(seed)
    who = draw.integers(0, people, count).tolist()
    kinds = draw.integers(0, len(KINDS), count).tolist()
    requests = draw.integers(0, 1 << 60, count).tolist()
    for at, text in enumerate(seeded.sentences(draw, count, 6, 6)):
        payload = f'{{"req":"{requests[at]:015x}","msg":"{text}","n":{requests[at] % 1000}}}'
        yield first + at, who[at], KINDS[kinds[at]], payload, 1_650_000_000 + (first + at) * 3


def change(database, people, count):
    """What makes the second version of the first."""
    draw = seeded.random(43)
    pick = lambda rows, share: draw.choice(rows, rows // share, replace=False).tolist()
    edited = ((f'{{"req":"edited","n":{number}}}', number) for number in pick(count, 100))
    database.executemany("update events set payload=? where id=?", edited)
    database.executemany("update users set score=score+1 where id=?", ((number,) for number in pick(people, 100)))
    database.executemany("delete from events where id=?", ((number,) for number in pick(count, 500)))
    database.executemany("insert into events values(?,?,?,?,?)", events(count, count * 3 // 100, people, 44))
