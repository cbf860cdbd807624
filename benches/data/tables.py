"""One table of events in three clothes: Parquet, Parquet cut by content, CSV.

v2 appends 5 % of rows. v3 is an afternoon of corrections: 0.5 % of rows anywhere get another score, ten runs of 0.05 % each
another price and quantity, and three runs of 0.1 % are deleted from the middle.
"""

import numpy
import pyarrow
import pyarrow.csv
import pyarrow.parquet

from . import seeded

ROWS = 1_500_000
NAMES = ("tabular", "tabularcdc", "csv")
COUNTRIES = ("US", "DE", "FR", "GB", "IN", "BR", "JP", "CN", "ES", "IT", "NL", "SE", "PL", "CA", "AU")
REMARKS = 20_000


def make(out, scale, names=NAMES):
    """Those of the three that are wanted; all versions of each hold the same rows."""
    places = {name: seeded.versions(out, name, 3) for name in names}
    for number, table in enumerate(histories(round(ROWS * scale))):
        for name in names:
            WRITERS[name](table, places[name][number])


def write_parquet(table, place):
    """As most tools leave it: snappy, row groups of 128 Ki rows."""
    pyarrow.parquet.write_table(table, place / "events.parquet", compression="snappy", row_group_size=1 << 17)


def write_parquet_by_content(table, place):
    """Pages end where the content says, so that rows before and after an edit keep their bytes."""
    pyarrow.parquet.write_table(
        table,
        place / "events.parquet",
        compression="snappy",
        row_group_size=1 << 20,
        use_content_defined_chunking=True,
    )


def write_csv(table, place):
    """With a header line."""
    pyarrow.csv.write_csv(table, place / "events.csv")


WRITERS = {"tabular": write_parquet, "tabularcdc": write_parquet_by_content, "csv": write_csv}


def histories(rows):
    """The table of each version."""
    first = events(rows, 0, 11)
    yield first
    second = pyarrow.concat_tables([first, events(rows // 20, rows, 12)]).combine_chunks()
    yield second
    yield corrected(second)


def events(rows, first, seed):
    """Rows numbered from `first`: skewed users and countries, smooth times, random sessions, remarks that repeat."""
    draw = seeded.random(seed, 1)
    numbers = numpy.arange(first, first + rows, dtype=numpy.int64)
    times = 1_700_000_000_000 + first * 2000 + numpy.cumsum(draw.integers(1, 4000, rows))
    categories = numpy.array([f"cat-{number:03d}" for number in range(120)])
    remarks = numpy.array(list(seeded.sentences(draw, REMARKS, 3, 11)))
    return pyarrow.table(
        {
            "id": numbers,
            "ts": pyarrow.array(times, pyarrow.timestamp("ms")),
            "user_id": (draw.zipf(1.3, rows) % 2_000_000).astype(numpy.int64),
            "country": numpy.array(COUNTRIES)[numpy.minimum(draw.geometric(0.25, rows), len(COUNTRIES)) - 1],
            "category": categories[draw.integers(0, len(categories), rows)],
            "price": numpy.round(draw.lognormal(3, 1, rows), 2),
            "qty": draw.poisson(2, rows).astype(numpy.int32) + 1,
            "lat": numpy.round(draw.normal(40, 12, rows), 6),
            "lon": numpy.round(draw.normal(0, 40, rows), 6),
            "score": draw.normal(0, 1, rows).astype(numpy.float32),
            "flag": draw.random(rows) < 0.03,
            "session": [f"{number:016x}" for number in draw.integers(0, 1 << 62, rows).tolist()],
            "comment": remarks[numpy.minimum(draw.zipf(1.2, rows), REMARKS) - 1],
        }
    )


def corrected(table):
    """Edits anywhere, in runs, and runs of rows gone."""
    draw = seeded.random(13)
    rows = table.num_rows
    scores, prices, quantities = (table[name].to_numpy().copy() for name in ("score", "price", "qty"))
    anywhere = draw.choice(rows, rows // 200, replace=False)
    scores[anywhere] = draw.normal(0, 1, len(anywhere))
    run = rows // 2000
    for begin in draw.integers(0, rows - run, 10):
        prices[begin : begin + run] = numpy.round(prices[begin : begin + run] * 1.1, 2)
        quantities[begin : begin + run] += 1
    for name, column in (("score", scores), ("price", prices), ("qty", quantities)):
        table = table.set_column(table.schema.get_field_index(name), name, pyarrow.array(column))
    kept = numpy.ones(rows, dtype=bool)
    for place in (0.31, 0.52, 0.68):
        kept[int(rows * place) :][: rows // 1000] = False
    return table.filter(pyarrow.array(kept)).combine_chunks()
