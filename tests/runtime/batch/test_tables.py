"""Tables as spreadsheets, R and pandas write them: whatever they add, the jobs are the same."""

import csv
import io
import json
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from handfirst.runtime.batch import tables
from handfirst.runtime.batch.job import BadJob, Job
from handfirst.runtime.batch.read_jobs import read_jobs
from handfirst.runtime.batch.records import BadRecord, Record
from handfirst.runtime.batch.tables import read_csv
from handfirst.runtime.errors import BatchError
from handfirst.runtime.systems import two_stage
from handfirst.runtime.systems.two_stage.job import JOBS

POSE = Path(two_stage.__file__).with_name("demo_pose.json")
BOM = "\ufeff"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("tables")
    (made / "a.json").write_bytes(POSE.read_bytes())
    return made


def table(folder, content, name="t.csv"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def told(jobs):
    """(line, id, seed, steps), or (line, reason)."""
    return [
        (j.line, j.reason) if isinstance(j, BadJob) else (j.line, j.id, j.fields.seed, j.fields.steps) for j in jobs
    ]


def test_what_excel_writes(folder):
    """Blank rows of two kinds, decimals, cells in quotes, numbers that lost their digits."""
    text = (
        'id,pose,prompt,seed,steps\r\na1,a.json,"a person, ""smiling""",7.0,2\r\n\r\na2,a.json,a person,,2.0\r\n'
        "a3,a.json,a person,NaN,2\r\na4,a.json,a person,4294967296,2\r\na5,a.json,ein Mensch 😀,1e3,2\r\n,,,,\r\n"
        'a6,a.json,x,"7,5",2\r\n , ,,,\r\na7,a.json,x,1,2,,\r\n'
    )
    unread = "seed: input should be a valid integer, unable to parse string as an integer, got "
    jobs = read_jobs(JOBS, table(folder, text))
    assert told(jobs) == [
        (2, "a1", 7, 2),
        (4, "a2", 0, 2),
        (5, f"{unread}'NaN'; leave it empty"),
        (6, "a4", 4294967296, 2),
        (7, f"{unread}'1e3'; write all of its digits"),
        (9, f"{unread}'7,5'; write a point for the comma"),
        (11, "a7", 1, 2),
    ]
    assert jobs[0].fields.prompt == 'a person, "smiling"'


@pytest.mark.parametrize("head", ["", "Unnamed: 0", '""'])
@pytest.mark.parametrize("first", ["0", "x"])
def test_an_index_without_a_name_is_read_past(folder, head, first):
    path = table(folder, f"{head},id,pose,prompt,steps\n{first},f0,a.json,x,2\n1,f1,a.json,x,3\n2,,,,\n")
    assert told(read_jobs(JOBS, path)) == [(2, "f0", 0, 2), (3, "f1", 0, 3)]


def test_a_column_without_a_name_may_be_empty_but_not_hold_something(folder):
    path = table(
        folder, "id,pose,prompt,,steps,\nb0,a.json,x,,2,\nb1,a.json,x,oh,2,\nb2,a.json,x,,2\nb3,a.json,x,,2,!\n"
    )
    said = "expected nothing in column {}, which has no name, got {}"
    assert told(read_jobs(JOBS, path)) == [
        (2, "b0", 0, 2),
        (3, said.format(4, "'oh'")),
        (4, "b2", 0, 2),
        (5, said.format(6, "'!'")),
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be-bom"])
@pytest.mark.parametrize("name", ["t.csv", "t.tsv"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("said", [False, True])
def test_separators_and_encodings(folder, encoding, name, separator, said):
    text = (
        "\n,,\n" * said
        + f"sep={separator}\r\n" * said
        + "id,pose,prompt\nü,a.json,x\nc,a.json,Hüte\n".replace(",", separator)
    )
    data = (BOM + text).encode("utf-16-be") if encoding == "utf-16-be-bom" else text.encode(encoding)
    bad, good = read_jobs(JOBS, table(folder, data, name))
    assert bad.reason.startswith("id: expected up to 100 letters")
    assert (good.id, good.fields.prompt, good.line) == ("c", "Hüte", 6 if said else 3)


def test_a_quotation_mark_without_its_partner_spoils_its_row_only(folder):
    path = table(
        folder, 'id,pose,prompt\nd0,a.json,"a man\nd1,a.json,"two\nlines"\nd2,a.json,"x"y\nd3,a.json,5" high\n'
    )
    jobs = read_jobs(JOBS, path)
    assert [job.line for job in jobs] == [2, 3, 5, 6]
    assert [job.id for job in jobs if isinstance(job, Job)] == ["d1", "d3"]
    assert [job.fields.prompt for job in jobs if isinstance(job, Job)] == ["two\nlines", '5" high']
    assert all('every " needs its partner' in job.reason for job in jobs if isinstance(job, BadJob))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("id,pose,prompt,seed\ne,a.json,x\n", "expected 4 cells, got 3; is one missing?"),
        ("id,pose,prompt\ne,a.json,x,y\n", "expected 3 cells, got 4; text that holds a separator goes in quotes"),
        ("id,pose,prompt\ne,a.json," + "x" * 200_000 + "\n", "not valid CSV (field larger than field limit"),
        (b"id,pose,prompt\ne,a.json,M\xe4nner\n", "expected text in UTF-8, got other bytes; save the table as CSV"),
    ],
)  # fmt: skip
def test_a_row_that_is_none_says_why(folder, text, reason):
    (job,) = read_jobs(JOBS, table(folder, text))
    assert job.reason.startswith(reason)


def test_an_endless_line_is_not_read_into_memory(folder, monkeypatch):
    monkeypatch.setattr(tables, "LONGEST_LINE", 100)
    path = table(folder, "pose,prompt\na.json," + "x" * 1000 + "\na.json,y\n")
    bad, good = read_jobs(JOBS, path)
    assert bad.reason.endswith("in a line, got more")
    assert (good.line, good.fields.prompt) == (3, "y")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", "a1,a.json,a person\n", "unknown column 'a1'; a job has id, pose"),
        ("t.csv", "id|pose|prompt\n", "unknown column 'id|pose|prompt'"),
        ("t.csv", ",,,\n\n", "expected a column 'pose', got none"),
        ("t.csv", "pose;prompt\n", "expected jobs, found none"),
        ("t.csv", "\ufeffpose,prompt\na.json,x".encode("utf-16-le")[:-1], "no whole text in UTF-16; save it again"),
        ("t.xlsx", "PK", "is a spreadsheet; save it as CSV in UTF-8"),
    ],
)
def test_a_table_that_is_none_says_how_to_mend_it(folder, name, content, message):
    with pytest.raises(BatchError) as caught:
        read_jobs(JOBS, table(folder, content, name))
    assert message in str(caught.value) and "\n" not in str(caught.value)


rows = st.fixed_dictionaries(
    {
        "id": st.none() | st.text("abc019_", min_size=1, max_size=5),
        "pose": st.sampled_from(["a.json", "poses/ä 1.json"]),
        "prompt": st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), min_size=1, max_size=30).filter(
            str.strip
        ),
        "seed": st.none() | st.integers(0, 2**63 - 1),
        "steps": st.none() | st.integers(1, 1000),
        "guidance": st.none() | st.floats(0, 100),
    }
)


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(rows, min_size=1, max_size=6), st.data())
def test_any_table_in_any_dialect_says_the_same(tmp_path_factory, wanted, data):
    """Written by the csv module with what spreadsheets add; expected is what was written, not what was read."""
    names = data.draw(st.permutations(list(wanted[0])), "columns")
    separator = data.draw(st.sampled_from([",", ";", "\t"]), "separator")
    index, empty = data.draw(st.booleans(), "index"), data.draw(st.integers(0, 2), "empty columns")
    blank = st.lists(st.sampled_from([[], [""] * len(names), [" "] * len(names)]), max_size=2)
    out = io.StringIO(newline="")
    quoting = data.draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
    writer = csv.writer(
        out, delimiter=separator, lineterminator=data.draw(st.sampled_from(["\n", "\r\n"])), quoting=quoting
    )
    for cells in data.draw(blank, "before"):
        writer.writerow(cells)
    writer.writerow([""] * index + names + [""] * empty)
    for number, row in enumerate(wanted):
        cells = ["" if row[name] is None else row[name] for name in names]
        writer.writerow([number] * index + cells + [""] * empty)
        for cells in data.draw(blank, "after"):
            writer.writerow([""] * index + cells)
    path = tmp_path_factory.getbasetemp() / "any.csv"
    encoding = data.draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]), "encoding")
    path.write_bytes(out.getvalue().encode(encoding))
    read = list(read_csv(JOBS, path))
    assert all(isinstance(record, Record) for record in read), [r for r in read if isinstance(r, BadRecord)]
    expected = [{name: str(value) for name, value in row.items() if value is not None} for row in wanted]
    assert [record.values for record in read] == expected


class TestParquet:
    def read(self, folder, **columns):
        pyarrow.parquet.write_table(pyarrow.table(columns), folder / "t.parquet")
        return read_jobs(JOBS, folder / "t.parquet")

    def test_null_fields_of_a_struct_are_not_there(self, folder):
        """Poses of two formats in one column: each row has the fields of both, those of the other are null."""
        one, other = {"people": [{"a": [1.0]}], "width": 3}, {"landmarks": [{"x": 0.5, "z": 0.25}, {"x": 1.0}]}
        jobs = self.read(folder, pose=[one, other], prompt=["x", "y"])
        assert [job.files["pose"] for job in jobs] == [one, other]
        listed = [{"pose": one, "prompt": "x"}, {"pose": other, "prompt": "y"}]
        (folder / "t.json").write_text(json.dumps(listed))
        assert [job.key for job in jobs] == [job.key for job in read_jobs(JOBS, folder / "t.json")]

    def test_blank_rows_and_pandas_nan_say_nothing(self, folder):
        nan = float("nan")
        jobs = self.read(
            folder,
            id=["a", None, "b"],
            pose=["a.json", "", "a.json"],
            prompt=["x", " ", "x"],
            seed=[7.0, nan, nan],
            guidance=[nan, None, 1.5],
        )
        assert told(jobs) == [(1, "a", 7, None), (3, "b", 0, None)]
        assert [job.fields.guidance for job in jobs] == [None, 1.5]

    def test_a_float_that_has_lost_digits_is_no_seed(self, folder):
        exact, lost = self.read(folder, pose=["a.json"] * 2, prompt=["x"] * 2, seed=[2.0**53 - 1, 2.0**60])
        assert exact.fields.seed == 9007199254740991
        assert lost.reason.startswith(
            "seed: expected a whole number with all of its digits, or one below 9007199254740992"
        )

    def test_an_index_of_pandas_is_read_past_unless_it_says_something(self, folder):
        described = json.dumps({"index_columns": ["row", "id", {"kind": "range"}], "columns": []})
        columns = {
            "row": [5, 6],
            "id": ["a", "b"],
            "pose": ["a.json"] * 2,
            "prompt": ["x"] * 2,
            "__index_level_0__": [1, 2],
        }
        made = pyarrow.table(columns).replace_schema_metadata({"pandas": described})
        pyarrow.parquet.write_table(made, folder / "t.parquet")
        assert [job.id for job in read_jobs(JOBS, folder / "t.parquet")] == ["a", "b"]
        made = pyarrow.table(columns).replace_schema_metadata({"pandas": "[1"})
        pyarrow.parquet.write_table(made, folder / "t.parquet")
        with pytest.raises(BatchError, match="unknown column 'row'"):
            read_jobs(JOBS, folder / "t.parquet")
