"""The page of a run: complete, self-contained, the same every time, and there however far the run got."""

import base64
import json
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from expertgen.errors import FileError, UsageError
from expertgen.reporting.noise import NoisePicture
from expertgen.reporting.report import write_report
from tests.reporting.fixture import COMMAND, make_run

pytest.importorskip("matplotlib", reason="the extra 'report' is not installed")
pytest.importorskip("jinja2", reason="the extra 'report' is not installed")


class Page(HTMLParser):
    """Collects what a browser would: tags, ids, addresses, visible text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.headings: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self.html = path.read_text(encoding="utf-8")
        self.feed(self.html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self._open.append(tag)
        for name, value in attributes:
            if name == "id":
                self.ids.append(value or "")
            if name in ("src", "href", "xlink:href", "srcset", "poster", "data", "action"):
                self.addresses.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if "style" in self._open:
            return
        if self._open and self._open[-1] == "h2":
            self.headings.append(data)
        self.text += f" {data.strip()}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_run(tmp_path_factory.mktemp("run"))
    (folder / "expert" / "success.mp4").write_bytes(b"a film")
    (folder / "expert" / "failure.png").write_bytes(b"a strip")
    write_report(folder)
    return folder


@pytest.fixture(scope="module")
def page(folder: Path) -> Page:
    return Page(folder / "report.html")


def test_everything_is_there(page: Page):
    assert page.headings == [
        "Success",
        "What it looks like",
        "Steering",
        "Where the noise went",
        "The prior",
        "The student",
        "Health of the learning",
        "Failures",
        "Do it again",
        "Glossary",
    ]
    assert COMMAND in page.text
    for words in (
        "98%",
        "95.5–99.2%",
        "Blind student",
        "mean noise, chosen on validation seeds",
        "AMD EPYC",
        "1.7\u202fGB",
    ):
        assert words in page.text
    assert "Student: 9 failed, environment seed 999" in page.text
    assert "expertgen eval RUN --episodes 256" in page.text
    assert "steer.noise_bound" in page.text


def test_page_loads_nothing_from_anywhere(page: Page):
    assert page.tags.isdisjoint({"script", "link", "iframe", "object", "embed", "base"})
    assert all(address.startswith(("#", "data:")) for address in page.addresses)


def test_style_and_figures_load_nothing_either(folder: Path):
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert "@import" not in text
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", text))
    assert set(re.findall(r'(\S*)"https?://', text)) <= {"xmlns=", "xmlns:xlink="}


def test_films_are_embedded(page: Page):
    films = [address for address in page.addresses if address.startswith("data:")]
    assert [base64.b64decode(film.split(",")[1]) for film in films] == [b"a film", b"a strip"]
    assert [film.split(";")[0] for film in films] == ["data:video/mp4", "data:image/png"]


def test_ids_are_unique_and_references_resolve(page: Page):
    assert len(page.ids) == len(set(page.ids))
    assert {address[1:] for address in page.addresses if address.startswith("#")} <= set(page.ids)


def test_colours_are_the_pages_own(folder: Path):
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert "#0a0b" not in text
    assert "var(--expert)" in text


def test_an_outcome_that_nobody_had_takes_no_room(tmp_path: Path):
    folder = make_run(tmp_path)
    for stage in ("prior", "expert"):
        (folder / stage / "failure.mp4").write_bytes(b"a film")
    text = Page(write_report(folder)).text
    assert "none seen" not in text
    assert "none of them was seen to succeed" in text


def test_a_long_list_of_failures_is_folded(folder: Path):
    text = (folder / "report.html").read_text(encoding="utf-8")
    counts = {name: int(number) for name, number in re.findall(r"<summary>([\w ]+): (\d+) failed", text)}
    folded = re.findall(r"<details>\s*<summary>([\w ]+): \d+ failed", text)
    assert sorted(folded) == sorted(name for name, number in counts.items() if number > 5)
    assert counts["Expert"] == 5


def test_a_given_expert_is_seen_as_the_teacher(tmp_path: Path):
    folder = make_run(tmp_path, ("demos", "student"))
    results = json.loads((folder / "results.json").read_text())
    (folder / "results.json").write_text(json.dumps(results | {"teacher": results["student"]}))
    page = Page(write_report(folder))
    assert "The given expert succeeds in 96%" in page.text
    assert "Expert as teacher" in page.text.split("Bars are")[0]


def test_share_of_noise_inside_a_ring():
    noise = NoisePicture(
        np.array([[0.6, 0.7], [0.0, -1.1], [3.0, 0.0], [0.0, 0.0]]), np.ones(4, bool), np.ones(2), 8, 3
    )
    assert [noise.inside(ring) for ring in (1, 2, 4)] == [0.5, 0.75, 1.0]


@pytest.mark.parametrize("count", range(4))
def test_a_run_that_was_stopped_has_a_report(tmp_path: Path, count: int):
    stages = ("demos", "prior", "expert", "student")[:count]
    page = Page(write_report(make_run(tmp_path, stages)))
    assert ("Steering" in page.headings) == (count > 2)
    assert "The student" not in page.headings
    assert page.headings[-2:] == ["Do it again", "Glossary"]
    assert not re.search(r"\b(None|nan|NaN)\b", page.text)


def test_a_folder_with_results_alone_has_a_report(folder: Path, tmp_path: Path):
    (tmp_path / "results.json").write_bytes((folder / "results.json").read_bytes())
    assert COMMAND in Page(write_report(tmp_path)).text


def test_same_run_same_bytes(folder: Path):
    first = (folder / "report.html").read_bytes()
    assert write_report(folder).read_bytes() == first
    assert not list(folder.glob(".report.html*"))


def test_text_from_files_is_escaped(tmp_path: Path):
    folder = make_run(tmp_path, ("demos",))
    about = json.loads((folder / "run.json").read_text()) | {"task": "<script>alert(1)</script>"}
    (folder / "run.json").write_text(json.dumps(about))
    page = Page(write_report(folder))
    assert "script" not in page.tags
    assert "<script>" in page.text


def test_what_is_no_run_folder_is_refused(tmp_path: Path):
    with pytest.raises(FileError, match=r"neither run\.json nor results\.json"):
        write_report(tmp_path)
    (tmp_path / "run.json").write_text("[]")
    with pytest.raises(FileError, match=r"run\.json holds no JSON object"):
        write_report(tmp_path)
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize("missing", ["jinja2", "matplotlib"])
def test_without_the_extra_one_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str):
    folder = make_run(tmp_path, ("demos",))
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(UsageError, match=r"pip install 'expertgen\[report\]'"):
        write_report(folder)


def test_noise_is_projected_on_orthonormal_axes_that_show_most():
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.1, (400, 8, 4))
    noise[:, 3, 2] += 2.0
    noise[:, 5, 1] += rng.choice([-1.0, 1.0], 400)
    picture = NoisePicture.project(noise, rng.random(400) < 0.5, bound=1.5)
    assert picture.dimension == 32
    assert picture.steered[:, 0].mean() == pytest.approx(2.0, abs=0.05)
    assert np.abs(picture.steered[:, 1]).mean() == pytest.approx(1.0, abs=0.05)
    np.testing.assert_allclose(picture.share, np.array([4.01, 1.01]) / (5 + 32 * 0.01), atol=0.01)
    # A projection on orthonormal axes keeps N(0, I) standard normal.
    normal = NoisePicture.project(rng.normal(size=(20000, 6)), np.ones(20000, bool), bound=1.5)
    np.testing.assert_allclose(np.cov(normal.steered.T), np.eye(2), atol=0.05)


def test_noise_picture_file(tmp_path: Path):
    rng = np.random.default_rng(0)
    picture = NoisePicture.project(rng.normal(size=(50, 3)), rng.random(50) < 0.5, bound=1.5)
    picture.save(tmp_path / "noise.json")
    loaded = NoisePicture.load(tmp_path / "noise.json")
    np.testing.assert_allclose(loaded.steered, picture.steered, atol=5e-4)
    assert np.array_equal(loaded.success, picture.success)
    value = json.loads((tmp_path / "noise.json").read_text())
    for broken in ({"steered": value["steered"][:-1]}, {"success": None}, {"share": "much"}):
        (tmp_path / "noise.json").write_text(json.dumps(value | broken))
        with pytest.raises(FileError, match=r"noise\.json"):
            NoisePicture.load(tmp_path / "noise.json")
