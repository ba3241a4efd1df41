"""What workers count together goes with their parent, at the latest when the next one starts."""

from __future__ import annotations

from pathlib import Path

from shop_order.cmd.workers.counting import metrics_folder


def test_what_a_killed_one_left_goes_and_what_is_used_stays(tmp_path: Path) -> None:
    left = tmp_path / "metrics-left"
    left.mkdir()
    (left / "counter_1.db").write_bytes(b"x")
    (tmp_path / "metrics.txt").write_text("mine")
    with metrics_folder(tmp_path) as first:
        assert not left.exists()
        with metrics_folder(tmp_path) as second:
            assert sorted(tmp_path.glob("metrics-*")) == sorted([Path(first), Path(second)])
        assert Path(first).stat().st_mode & 0o777 == 0o700
    assert [*tmp_path.iterdir()] == [tmp_path / "metrics.txt"]


def test_the_folder_of_the_data_is_made(tmp_path: Path) -> None:
    with metrics_folder(tmp_path / "new" / "data") as folder:
        assert Path(folder).is_dir()
