"""`suanli trace`."""

from pathlib import Path

from typer.testing import CliRunner

from suanli.cli.main import app
from suanli.traces import read

FLEET = "gavel:2xV100,4xK80"


def test_make_writes_the_same_file_for_the_same_seed(tmp_path: Path) -> None:
    for name, seed in [("a", "7"), ("b", "7"), ("c", "8")]:
        path = str(tmp_path / name)
        argv = ["trace", "make", "poisson", "--fleet", FLEET, "--seed", seed, "--jobs", "20", "-o", path]
        result = CliRunner().invoke(app, argv)
        assert result.exit_code == 0, result.output
        assert "20 workloads" in result.stdout
    texts = [(tmp_path / name).read_text(encoding="utf-8") for name in "abc"]
    assert texts[0] == texts[1]
    assert texts[0] != texts[2]


def test_import_writes_our_csv_and_tells_what_was_left_out(written, tmp_path: Path) -> None:
    head = "job_id,user,num_gpu,submit_time,iterations,model_name,duration,interval,expect_time_list\n"
    path = written("c.csv", head + "0,vc,0,5,1,vgg16,7,8,9\n1,vc,4,10,1,vgg16,7,8,9\n")
    out = tmp_path / "out.csv"
    result = CliRunner().invoke(app, ["trace", "import", f"chronus:{path}", "-o", str(out)])
    assert result.exit_code == 0, result.output
    assert "left out" in result.stderr
    assert [row.name for row in read(str(out)).rows] == ["job-1"]


def test_bad_rows_end_it_with_2_and_write_nothing(written, tmp_path: Path) -> None:
    path = written("t.csv", "name,at_s,work\na,0,x\nb,-1,2\n")
    result = CliRunner().invoke(app, ["trace", "import", f"csv:{path}", "-o", str(tmp_path / "out.csv")])
    assert result.exit_code == 2
    assert ":2:5: work" in result.stderr
    assert ":3:3: at_s" in result.stderr
    assert not (tmp_path / "out.csv").exists()


def test_a_kind_that_there_is_not_is_refused(tmp_path: Path) -> None:
    argv = ["trace", "make", "posson", "--fleet", FLEET, "--seed", "1", "-o", str(tmp_path / "x")]
    result = CliRunner().invoke(app, argv)
    assert result.exit_code == 2
    assert "poisson, diurnal and bursts" in result.stderr
