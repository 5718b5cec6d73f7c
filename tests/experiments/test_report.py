"""Measurements on disk and what is made of them: resuming, the validity gate, the tables, options."""

import json
from zlib import crc32

import pytest

from scripts.experiments import elephants, report
from scripts.experiments.bench import Wire
from scripts.experiments.detecting import delays
from scripts.experiments.results import LINES, Key, Measurement, Results, ResultsError
from scripts.experiments.rows import ROWS, cases, figures

KEY = Key("detection", "TCP, 5 Mb/s", 1)


def flow(**parts):
    none = ("detected", "sampling", "export", "detection", "decision", "installation", "moved", "rule", "samples")
    return {"flow": "10.0.1.1,10.0.2.1,6,1,5001", **dict.fromkeys(none), **parts}


def measurement(row, case, seed, values, idle=0.6):
    return Measurement(Key(row, case, seed), values, idle)


RECORDED = [
    measurement("detection", "TCP, 5 Mb/s", 1, {"flows": [
        flow(detected=40.0, rule=1.5), flow(detected=60.0, rule=9.0)]}),
    measurement("detection", "TCP, 5 Mb/s", 2, {"flows": [flow(detected=44.0, rule=1.0), flow()]}),
    measurement("loop", "5 Mb/s", 1, {"flows": [flow(), flow(
        detected=50.0, sampling=30.0, export=12.0, detection=8.0, decision=5.0, installation=15.0, moved=70.0)]}),
    measurement("separation", "4:1", 1, {"flows": [
        {"elephant": True, "ms": 300.0}, {"elephant": True, "ms": 700.0}, {"elephant": False, "ms": None}]}),
    measurement("false elephants", "250 kb/s", 1, {"seconds": 1800, "flows": 16, "false": 1}),
    measurement("goodput", "stride(4), switch", 1, {"flows": 16, "switch": 76e6, "bound": 76.5e6}),
    measurement("goodput", "stride(4), fabric", 1, {"flows": 16, "ecmp": 50e6, "steered": 75e6, "bound": 76.5e6}),
    measurement("mice", "UDP", 1, {
        "unmarked": {"times": [1.0] * 98 + [200.0] * 2, "timeouts": 0, "alone": 4.8e6},
        "marked": {"times": [1.0] * 98 + [5.0] * 2, "timeouts": 0, "alone": 4.7e6}}),
    measurement("failure", "a link down, with controller", 1, {
        "down_ms": {"h5:1": 35.0, "h6:2": 61.0}, "up_ms": {}, "elephants_ms": [150.0, None]}),
]  # fmt: skip


@pytest.fixture
def recorded(tmp_path):
    results = Results(tmp_path)
    for one in RECORDED:
        results.add(one)
    return results


def test_a_second_start_goes_on_with_what_is_missing_failed_or_did_not_pass_the_gate(tmp_path):
    first = Results(tmp_path)
    keys = [Key("detection", "TCP, 5 Mb/s", seed) for seed in range(1, 6)]
    first.add(Measurement(keys[0], {"flows": []}, 0.5))
    first.add(Measurement(keys[1], {"flows": []}, 0.34))
    first.add(Measurement(keys[2], error="StageError: no"))
    first.add(Measurement(keys[3], {"flows": [1]}, 0.9))
    first.add(Measurement(keys[3], {"flows": [2]}, 0.1))  # a valid one is not lost by a later one that is not
    with (tmp_path / LINES).open("a") as file:
        file.write('{"row": "detection", "ca')  # cut by the loss of power
    second = Results(tmp_path)
    assert second.missing(keys) == [keys[1], keys[2], keys[4]]
    assert second.by_key[keys[3]].values == {"flows": [1]}
    second.add(Measurement(keys[4], {"flows": []}, 0.5))
    assert Results(tmp_path).missing(keys) == [keys[1], keys[2]]


def test_a_line_that_is_no_measurement_is_named(tmp_path):
    (tmp_path / LINES).write_text('{"row": "detection"}\n')
    with pytest.raises(ResultsError, match=rf"{LINES}:1: Object missing required field `case`"):
        Results(tmp_path)


def test_work_is_planned_by_laboratory_then_seed_without_what_is_there(recorded):
    work = elephants.missing(recorded, cases(quick=True), ("detection", "loop"), 2)
    assert [(case.lab, seed, case.row, case.name) for case, seed in work] == [
        ("10 Mb/s", 1, "detection", "TCP, 10 Mb/s"),
        ("10 Mb/s", 1, "loop", "10 Mb/s"),
        ("10 Mb/s", 2, "detection", "TCP, 10 Mb/s"),
        ("10 Mb/s", 2, "loop", "10 Mb/s"),
        ("5 Mb/s", 1, "detection", "UDP at half rate, 5 Mb/s"),
        ("5 Mb/s", 2, "detection", "UDP at half rate, 5 Mb/s"),
        ("5 Mb/s", 2, "loop", "5 Mb/s"),
    ]
    assert {case.row for case in cases(quick=True)} == {case.row for case in cases(quick=False)} == set(ROWS)


def test_every_figure_has_its_value_beside_its_target(recorded):
    found = {figure.what: (figure.measured.value, figure.measured.n, figure.verdict) for figure in figures(recorded)}
    assert found["first byte to event, TCP, 5 Mb/s, p50"] == (44.0, 4, "met")
    assert found["first byte to event, TCP, 5 Mb/s, p95"] == (float("inf"), 4, "missed")  # one was never detected
    assert found["event to flow mod on the wire, p50"] == (1.5, 3, "met")
    assert found["event to flow mod on the wire, p99"] == (9.0, 3, "missed")
    assert found["first byte to first packet on the new path, 5 Mb/s, p50"] == (70.0, 1, "met")
    assert found["precision at 4:1, within 0.6 s"] == (1.0, 1, "met")
    assert found["recall at 4:1, within 0.6 s"] == (0.5, 2, "missed")
    assert found["false elephants an hour of 16 mice of 250 kb/s"] == (2.0, 16, "missed")
    assert found["goodput by non-blocking, all patterns"] == (75 / 76, 1, "met")
    assert found["goodput by fair ECMP, stride(4), stride(8)"] == (1.5, 1, "met")
    assert found["p99 of mice lower by marking"] == (40.0, 1, "met")
    assert found["goodput of elephants alone lost by marking"] == (pytest.approx(0.0208, abs=1e-4), 1, "missed")
    assert found["a link down, with controller: longest pause of a stream"] == (61.0, 1, "missed")
    assert found["a link down, with controller: elephants on another spine, p95"] == (float("inf"), 2, "missed")
    assert found["a link up, with controller: streams that paused 20 ms and more"] == (0.0, 1, "met")
    assert not any("churn" in what or "UDP at half rate" in what for what in found)  # not measured: not shown


def test_the_report_shows_what_failed_the_gate_as_no_result(tmp_path, recorded):
    recorded.add(measurement("rates", "TCP", 1, {"errors": [0.01, 0.02, 0.3]}, idle=0.2))
    text = report.write(tmp_path, recorded, {"seeds": 2}, ["delays.svg"])
    assert "| rate error over 100 ms, TCP, median | <= 0.05 | 0.020 | - | 3 | gate failed |" in text
    assert "- validity gate: 9 of 10 measurements" in text
    assert "the one switch carried 95.0% of link rate where 93% are needed: passed" in text
    assert "| first byte to event, TCP, 5 Mb/s, p50 | <= 45 ms | 44.0 ms | 40.0 .. 44.0 | 4 | met |" in text
    assert "| sampling | 30.0 (-) | first byte until the sampled packet that decided passed its switch |" in text
    assert "| stride(4) | 0.658 (-) | 0.987 (-) | 1.50 (-) | 1 |" in text
    assert "![delays.svg](delays.svg)" in text
    written = json.loads((tmp_path / "report.json").read_text())
    never = next(one for one in written["figures"] if one["what"] == "first byte to event, TCP, 5 Mb/s, p95")
    assert (never["target"], never["value"], never["verdict"]) == (120, None, "missed")


def test_plots_are_drawn_of_what_was_measured(tmp_path, recorded):
    plots = pytest.importorskip("scripts.experiments.plots")
    names = plots.draw_all(recorded, tmp_path)
    assert names == ["delays.svg", "detection.svg", "goodput.svg", "mice.svg", "failures.svg"]
    assert all((tmp_path / name).read_text().rstrip().endswith("</svg>") for name in names)
    assert plots.draw_all(Results(tmp_path / "empty"), tmp_path) == []


def test_the_delay_of_a_flow_is_split_at_what_was_seen_on_the_wire():
    key = "10.0.1.1,10.0.2.1,6,40001,5001"
    wire = Wire(
        first={key: 10.0},
        paths={key: [(10.001, "spine1-eth1"), (10.090, "spine2-eth1")]},
        samples={key: [(10.010, 10.020), (10.030, 10.042), (10.060, 10.070)]},
        _rules={crc32(key.encode()): [10.052, 10.080]},
    )
    assert wire.rules(key) == [10.052, 10.080]
    found = delays(key, wire, {"detected_at": 10.050})
    assert found == {
        "flow": key, "detected": 50.0, "sampling": 30.0, "export": 12.0, "detection": 8.0, "decision": 30.0,
        "installation": 10.0, "moved": 90.0, "rule": 2.0, "samples": 2,
    }  # fmt: skip
    assert set(delays(key, wire, None).values()) == {key, None}  # never detected


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--only", "detection,repairs"], "no row 'repairs'; there are detection, separation"),
        (["--seeds", "0"], "'0' is not within 1..1000"),
        (["--seeds", "ten"], "'ten' is not within 1..1000"),
        (["--fast"], "unrecognized arguments: --fast"),
    ],
)
def test_bad_options_are_named(words, named, capsys):
    with pytest.raises(SystemExit):
        elephants.parsed(["--report", "out", *words])
    assert named in capsys.readouterr().err


def test_one_seed_is_quick_and_ten_are_all():
    assert elephants.parsed(["--report", "out"]).seeds == 10
    assert elephants.parsed(["--report", "out", "--quick"]).seeds == 1
    assert elephants.parsed(["--report", "out", "--quick", "--seeds", "3"]).seeds == 3
    assert elephants.parsed(["--report", "out"]).only == ROWS
