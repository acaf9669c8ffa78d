"""Visual reliance: what a disturbed picture changes, told apart for first answer, reflection and final answer."""

import json
from pathlib import Path

import pytest

from srpo.core.records import Problem
from srpo.data.disturbed import read_ref
from srpo.data.images import image_hash, load_image
from srpo.eval.config import EvalConfig
from srpo.eval.probe import PROBED, Prober
from srpo.eval.result import EvalResult, ProbeResult
from srpo.eval.run import run
from srpo.eval.table import render_eval, render_probe
from srpo.models.fake import FakeGenerator
from srpo.models.protocol import Request
from srpo.runs.directory import RunDir
from srpo.runs.reader import read_traces
from srpo.runs.rejects import read_rejected
from tests.support.interrupted import DiesAfter
from tests.support.responses import reflective

PICTURE = "drawn:pairs/1/{}"


def config(folder: Path, count: int = 8, **settings: object) -> EvalConfig:
    rows = [{"id": f"p{i}", "question": f"{i}?", "answer": "7", "image": PICTURE.format(i)} for i in range(count)]
    (folder / "data.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    fixed = {"model": "dir/fake", "prompt": "bare", "batch_size": 3, "symbolic": False, "probe": "blank"}
    return EvalConfig.model_validate({"data": str(folder / "data.jsonl")} | fixed | settings)


def own_picture(request: Request) -> bool:
    return request.problem.images == (PICTURE.format(request.problem.id[1:]),)


def looks_twice(request: Request, _: int) -> str:
    """First answers never look: right for even ids. The reflection sees the error, if there is a picture to see."""
    first = "7" if int(request.problem.id[1:]) % 2 == 0 else "5"
    if own_picture(request):
        return reflective(first, "7", "I see 7 again")
    return reflective(first, first, "I see nothing again")


def evaluate(cfg: EvalConfig, out: Path, generator: FakeGenerator) -> EvalResult:
    with RunDir.open(out, cfg, "eval") as run_dir:
        return run(cfg, run_dir, generator=generator)


def probed(result: EvalResult) -> ProbeResult:
    assert result.probe is not None
    return result.probe


@pytest.mark.parametrize("probe", ["blank", "swap", "noise"])
def test_a_model_whose_reflection_alone_looks_is_told_from_one_whose_first_answer_does(
    tmp_path: Path, probe: str
) -> None:
    generator = FakeGenerator(looks_twice)
    found = probed(evaluate(config(tmp_path, probe=probe), tmp_path / "run", generator))
    assert (found.problems, found.pairs, found.lost, found.without_picture) == (8, 8, 0, 0)
    assert found.first is not None
    assert (found.first.plain.value, found.first.difference.value, found.first.changed.value) == (0.5, 0.0, 0.0)
    assert (found.final.plain.value, found.final.disturbed.value, found.final.difference.value) == (1.0, 0.5, -0.5)
    assert found.final.changed.value == 0.5
    assert found.final.difference.high < 0
    reflection = found.reflection
    assert reflection is not None
    assert (reflection.changed.value, reflection.changed_alone.value, reflection.changed_alone.n) == (1.0, 1.0, 8)
    assert (reflection.gain.value, reflection.gain_disturbed.value) == (0.5, 0.0)
    assert reflection.gain_difference.value == -0.5
    assert reflection.words.value == pytest.approx(0.25)
    assert len(generator.requests) == 16


def test_what_never_looks_changes_nothing(tmp_path: Path) -> None:
    blind = FakeGenerator(lambda request, _: reflective("5", request.problem.answer, "so wrong"))
    found = probed(evaluate(config(tmp_path), tmp_path / "run", blind))
    assert found.first is not None
    assert found.reflection is not None
    differences = (found.first.difference, found.final.difference, found.reflection.gain_difference)
    assert [(one.value, one.low, one.high) for one in differences] == [(0.0, 0.0, 0.0)] * 3
    assert found.reflection.changed_alone.value == 0.0


def test_a_killed_probe_goes_on_and_ends_the_same(tmp_path: Path) -> None:
    cfg = config(tmp_path, probe="noise", seed=3)
    whole = evaluate(cfg, tmp_path / "whole", FakeGenerator(looks_twice))
    for batches in (1, 3, 3):
        with pytest.raises(KeyboardInterrupt):
            evaluate(cfg, tmp_path / "killed", DiesAfter(looks_twice, batches))
    again = evaluate(cfg, tmp_path / "killed", FakeGenerator(looks_twice))
    assert again.probe == whole.probe
    for name in ("traces.jsonl", PROBED):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    refs = [read_ref(trace.problem.images[0]) for trace in read_traces(tmp_path / "whole" / PROBED)]
    assert all(ref is not None and (ref.how, ref.seed) == ("noise", 3) for ref in refs)


def test_what_cannot_be_compared_is_counted(tmp_path: Path) -> None:
    cfg = config(tmp_path)
    with (tmp_path / "data.jsonl").open("a") as file:
        file.write('{"id": "p8", "question": "8?", "answer": "7"}\n')
    generator = FakeGenerator(
        looks_twice, refuse=lambda r: "too grey" if r.problem.id == "p2" and not own_picture(r) else None
    )
    result = evaluate(cfg, tmp_path / "run", generator)
    found = probed(result)
    assert (result.answered, found.pairs, found.without_picture, found.lost) == (9, 7, 1, 1)
    (row,) = read_rejected(tmp_path / "run")
    assert (row.id, row.where, row.detail) == ("p2", "probe", "too grey")
    text = render_eval(result, "x")
    assert "probe blank: 7 problems, 7 pairs of answers" in text
    assert "not compared: 1 samples without a picture" in text
    assert "reflections changed after the same first attempt: 1.000" in text
    assert "chance" not in text
    warm = probed(result).model_copy(update={"temperature": 0.7})
    assert "at temperature 0.7 chance changes answers and words too" in render_probe(warm)


def test_probes_that_have_no_meaning_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="probe blank compares what the rules say; leave judge out"):
        config(tmp_path, benchmark="custom", judge={"model": {"model": "m", "base_url": "http://localhost:1/v1"}})
    with pytest.raises(ValueError, match="none of the 1 problems has a picture"):
        Prober("blank", 0, [Problem(id="1", question="q", answer="1")])
    same = [Problem(id=str(i), question="q", answer="1", images=("a.png",)) for i in range(3)]
    with pytest.raises(ValueError, match="all problems have the same picture; take blank or noise"):
        Prober("swap", 0, same)


def test_swapped_pictures_are_others_and_as_many() -> None:
    problems = [
        Problem(id=str(i), question="q", answer="1", images=tuple(f"{i // 2}-{k}" for k in range(1 + i // 2 % 2)))
        for i in range(12)
    ]
    prober = Prober("swap", 5, problems)
    for problem in problems:
        other = prober.disturb(problem)
        assert other is not None
        assert other.images != problem.images
        assert len(other.images) == len(problem.images)
    again = Prober("swap", 5, problems)
    assert [again.disturb(one) for one in problems] == [prober.disturb(one) for one in problems]


def test_disturbed_pictures_keep_their_size_and_depend_on_the_seed() -> None:
    plain = "drawn:pairs/1/7"
    blank = load_image(f"disturbed:blank/0:{plain}")
    assert blank.size == load_image(plain).size
    assert blank.getcolors() == [(84 * 84, (128, 128, 128))]
    refs = [plain, *(f"disturbed:{how}:{plain}" for how in ("blank/0", "noise/1", "noise/2"))]
    assert len({image_hash(ref) for ref in refs}) == 4
    assert image_hash(refs[2]) == image_hash(refs[2])
    with pytest.raises(ValueError, match="is no changed picture"):
        load_image(f"disturbed:melt/1:{plain}")
