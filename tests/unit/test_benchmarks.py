"""What the benchmark reads from wrk and the kernel, and what it makes of that. Nothing is measured here."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import measure as measuring
from benchmarks import report, service
from benchmarks.bounds import whole_up_to
from benchmarks.contenders import Contender
from benchmarks.cores import choose_cores, pinned
from benchmarks.load import LoadError, LoadResult, check_request, check_request_of_each, parse_wrk
from benchmarks.many import ManyKeys
from benchmarks.measure import Measurement, parse_cpu_ticks
from benchmarks.ratios import TARGETS, Extras, Spread, Target, ratios, spread, values
from benchmarks.run import series_of
from benchmarks.servers import Server, clean_environment
from benchmarks.service import DecisionLog, Keys, forge
from benchmarks.short_turns import Done, table
from benchmarks.signal_load import Ended, line, log_request
from benchmarks.signals import Meter
from extauth.completion.lines import read_line
from extauth.completion.otlp import OtlpReader, read_otlp
from extauth.completion.signals import Signal
from extauth.errors import SecretMismatchError
from extauth.keys.token import Peppers, mint_key, parse_key

PEPPERS = Peppers(["p" * 32])
WRK_OUTPUT = """\
Running 2s test @ http://127.0.0.1:40001
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.21ms  310.00us   6.02ms   90.11%
    Req/Sec    52.61k     1.20k   54.80k    75.00%
  100000 requests in 2.00s, 14.30MB read
  Non-2xx or 3xx responses: 100000
Requests/sec:  50000.00
Transfer/sec:      7.15MB
measured requests=100000 duration_us=2000000 p50_us=1200 p99_us=2400 refused=100000 broken=3
"""


def key_text() -> str:
    """Return a key as the service issues them."""
    return mint_key(prefix="xa", environment="live", secret_length=43, peppers=PEPPERS)[0]


def load_result(*, requests: int = 1_000, refused: int = 0, broken: int = 0) -> LoadResult:
    """Return what wrk says after one second."""
    return LoadResult(requests, 1_000_000, 1_200, 2_400, refused, broken, 0.5)


def measurement(
    contender: str,
    number: int,
    *,
    cpu: float = 10.0,
    speed: float = 1_000.0,
    busy: float = 1.0,
    connections: int = 64,
    redis: float = 0.0,
) -> Measurement:
    """Return a measurement that isn't void."""
    return Measurement(
        contender=contender,
        round=number,
        connections=connections,
        faults=(),
        checks_per_second=speed,
        cpu_us=cpu,
        p50_us=1_000.0,
        p99_us=2_000.0,
        server_busy=busy,
        redis_us=redis,
    )


def void(contender: str, number: int) -> Measurement:
    """Return a measurement that no figure may come from, though it has some."""
    return Measurement(contender=contender, round=number, connections=64, faults=("wrong",), cpu_us=1_000.0)


def contender(status: int, log: DecisionLog | None = None, *, name: str = "limited") -> Contender:
    """Return a contender whose server is never asked."""
    server = Server.__new__(Server)
    return Contender(name=name, server=server, status=status, key=key_text(), log=log, code="rate_limited")


def write_decisions(path: Path, *codes: str) -> DecisionLog:
    """Return a log with one decision line for each code."""
    path.write_text("".join(f'{{"event":"decision","code":"{code}","path":"/v1"}}\n' for code in codes))
    return DecisionLog(path)


def test_cpu_time_is_user_and_system_time_together() -> None:
    """The cost of a check includes what the kernel does for it."""
    stat = (
        "4711 (python) S 1 4711 4711 0 -1 4194304 5000 0 0 0 250 50 7 9 20 0 3 0 12345 1000000 2000 1844674"
    )
    assert parse_cpu_ticks(stat) == 300


def test_cpu_time_is_found_behind_any_program_name() -> None:
    """A name with spaces and parentheses, which proc(5) does not escape, shifts no field."""
    stat = "4711 (a) S 9 (b c)) R 1 4711 4711 0 -1 4194304 5000 0 0 0 31 11 7 9 20 0 3 0 12345 1000000 2000"
    assert parse_cpu_ticks(stat) == 42


def test_cpu_time_of_this_process_is_read_from_the_real_file() -> None:
    """The fields are where this kernel writes them: they agree with times(2) to within its two ticks."""
    ticks = parse_cpu_ticks(Path("/proc/self/stat").read_text())
    times = os.times()
    assert abs(ticks / os.sysconf("SC_CLK_TCK") - times.user - times.system) < 0.05


def test_figures_of_wrk_are_read() -> None:
    """Every figure of wrk reaches the measurement, and its own CPU time becomes a part of the time."""
    expected = LoadResult(
        requests=100_000,
        duration_us=2_000_000,
        p50_us=1_200,
        p99_us=2_400,
        refused=100_000,
        broken=3,
        busy=0.75,
    )
    assert parse_wrk(WRK_OUTPUT, cpu_seconds=1.5) == expected


@pytest.mark.parametrize(
    "output",
    ["", "unable to connect to 127.0.0.1:40001 Connection refused\n", WRK_OUTPUT.replace("measured", "")],
)
def test_wrk_without_figures_is_an_error(output: str) -> None:
    """Where wrk measured nothing, nothing is reported."""
    with pytest.raises(LoadError, match="without its figures"):
        parse_wrk(output, cpu_seconds=0.0)


def test_wrk_without_answers_is_an_error() -> None:
    """A server that never answers has no cost per check."""
    with pytest.raises(LoadError, match="not one check"):
        parse_wrk(WRK_OUTPUT.replace("requests=100000", "requests=0"), cpu_seconds=0.0)


def test_each_check_has_a_request_id_of_its_own() -> None:
    """No two checks of a run share an id, so none is answered as a repetition of another."""
    first, second = check_request("k"), check_request("k")
    requests = {made.numbered(number) for made in (first, second) for number in (0, 1, 2**48 - 1)}
    assert len(requests) == 6
    assert {len(request) for request in requests} == {len(first.numbered(0))}


def test_the_check_is_the_one_that_envoy_sends() -> None:
    """All contenders get Envoy's header names, the key as a bearer token, and a whole head without a body."""
    head = check_request("the-key").numbered(10).decode()
    lines = head.split("\r\n")
    assert lines[0] == "GET /envoy/v1/orders/42 HTTP/1.1"
    assert [line.split(":")[0] for line in lines[1:-2]] == [
        "host", "content-length", "authorization", "x-request-id", "x-forwarded-proto", "x-extauth-client-ip",
        "x-envoy-internal", "x-envoy-expected-rq-timeout-ms",
    ]  # fmt: skip
    assert "authorization: Bearer the-key" in lines
    assert lines[-2:] == ["", ""]


def test_the_script_sends_the_same_bytes() -> None:
    """What wrk sends differs from the probes in the number only: the text in Lua holds the same escapes."""
    request = check_request("the-key")
    script = request.script(Path("unused"))
    for part in request.pieces:
        assert '"' + part.replace("\r\n", "\\r\\n") + '"' in script
    assert 'string.format("%012x", number)' in script
    assert "unused" not in script


def test_each_check_carries_the_next_key() -> None:
    """After the last key comes the first again, and but for the key the check is the one that all get."""
    request = check_request_of_each(("first", "second", "third"))
    sent = [request.numbered(number) for number in range(4)]
    keys = [head.partition(b"Bearer ")[2].partition(b"\r\n")[0] for head in sent]
    assert keys == [b"first", b"second", b"third", b"first"]
    assert len(set(sent)) == 4
    names = [line.partition(b":")[0] for line in sent[0].split(b"\r\n")]
    assert names == [line.partition(b":")[0] for line in check_request("k").numbered(0).split(b"\r\n")]


def test_the_script_reads_the_keys_from_their_file(tmp_path: Path) -> None:
    """So many keys fit into no Lua function: they stand one a line in a file, and none in the script."""
    script = check_request_of_each(("one-key", "another-key")).script(tmp_path / "keys.txt")
    assert f'io.open("{tmp_path / "keys.txt"}")' in script
    assert 'Bearer " .. next_key() .. table.concat(' in script
    assert "-key" not in script


def test_many_keys_are_well_formed_and_differ() -> None:
    """Their ids are their numbers, and one secret serves all: it has to be hashed once only."""
    texts = ManyKeys(3).texts
    parts = [parse_key(text) for text in texts]
    assert [part.key_id for part in parts] == ["000000000000", "000000000001", "000000000002"]
    assert len({part.secret for part in parts}) == 1
    assert len({part.tag for part in parts}) == 3
    assert {len(text) for text in texts} == {len(key_text())}


def test_each_series_has_the_floor_and_only_those_measured_with_it() -> None:
    """Ratios are made within a series, so the floor takes its turn in each, at as many connections."""
    names = ("floor", "allowed", "redis-allowed", "rival", "redis-single")
    all_of_them = [contender(200, name=name) for name in names]
    found = series_of(all_of_them, latency=True)
    assert [(size, [one.name for one in members]) for size, members in found] == [
        (64, ["floor", "allowed"]),
        (64, ["floor", "redis-allowed", "rival"]),
        (1, ["floor", "redis-single"]),
        (1, ["floor", "allowed"]),
    ]
    assert [size for size, _ in series_of(all_of_them[:1], latency=False)] == [64]
    assert [size for size, _ in series_of([all_of_them[0], all_of_them[4]], latency=False)] == [1]


def test_keys_do_not_show_in_representations() -> None:
    """A traceback or a debugging line with these values holds no key."""
    key = key_text()
    many = check_request_of_each((key,))
    shown = repr([check_request(key), many, Keys(key, key, key, key), contender(200)])
    assert "_live_" not in shown


def test_a_forged_key_fails_its_tag_only() -> None:
    """The unknown key costs a server what an attacker's would: it is well formed, and refused for its tag."""
    key = key_text()
    forged = forge(key)
    assert (len(forged), forged[:-1]) == (len(key), key[:-1])
    parts = parse_key(forged)
    with pytest.raises(SecretMismatchError):
        PEPPERS.verify(parts.body, parts.tag)


def test_spread_of_values() -> None:
    """The median of an even number of values lies between the middle two; no values have none."""
    assert spread([4.0, 1.0, 2.0, 100.0]) == Spread(3.0, 1.0, 100.0)
    assert spread([]) is None


def test_ratios_are_made_within_a_round() -> None:
    """A machine that slows down for a whole round changes no ratio, though it changes the medians."""
    rounds = [
        measurement("floor", 1, cpu=20.0), measurement("allowed", 1, cpu=10.0),
        measurement("floor", 2, cpu=200.0), measurement("allowed", 2, cpu=100.0),
        measurement("floor", 3, cpu=20.0), measurement("allowed", 3, cpu=12.0),
    ]  # fmt: skip
    assert ratios(rounds, "allowed", "cpu_us", against="floor") == Spread(0.5, 0.5, 0.6)
    assert values(rounds, "allowed", "cpu_us") == Spread(12.0, 10.0, 100.0)


def test_void_measurements_enter_no_figure() -> None:
    """A round in which either of the two answered wrongly has no ratio."""
    rounds = [
        void("floor", 1), measurement("allowed", 1),
        measurement("floor", 2), void("allowed", 2),
        measurement("floor", 3, cpu=20.0), measurement("allowed", 3, cpu=30.0),
    ]  # fmt: skip
    assert ratios(rounds, "allowed", "cpu_us", against="floor") == Spread(1.5, 1.5, 1.5)
    assert ratios(rounds[:4], "allowed", "cpu_us", against="floor") is None


@pytest.mark.parametrize(
    ("more_is_better", "ratio", "met"),
    [(True, 1.3, True), (True, 1.296, True), (True, 1.29, False), (False, 1.3, True), (False, 1.31, False)],
)
def test_targets_are_met_at_their_bound(*, more_is_better: bool, ratio: float, met: bool) -> None:
    """A bound belongs to what is good, and is held against the figure as it is shown."""
    target = Target("allowed", "cpu_us", "floor", 1.3, more_is_better=more_is_better)
    assert target.is_met(ratio) is met


def test_report_judges_targets() -> None:
    """Each target has its line: met, missed, or not measured."""
    rounds = [
        measurement("floor", 1, cpu=20.0, speed=1_000.0),
        measurement("allowed", 1, cpu=17.0, speed=1_400.0),
    ]
    lines = list(report.targets([rounds], Extras([0.9, 0.4, 1.2], 500.4)))
    assert len(lines) == len(TARGETS) + 2
    verdicts = [line.split()[0] for line in lines]
    assert verdicts == ["met", "MISSED", "met", *["-"] * (len(TARGETS) - 3), "MISSED", "met"]
    assert lines[0].endswith("checks/s >= 1.3 x floor                           1.40 (1.40..1.40)")
    assert lines[-1].endswith("0.90 (0.40..1.20)")


def test_each_target_is_judged_in_its_own_series() -> None:
    """A floor at another number of connections, or of another quarter of an hour, is no base of a ratio."""
    embedded = [measurement("floor", 1, speed=1_000.0), measurement("allowed", 1, speed=1_400.0)]
    single = [
        measurement("floor", 1, speed=100.0, connections=1, busy=0.5),
        measurement("redis-single", 1, speed=40.0, connections=1, busy=0.6),
    ]
    lines = list(report.targets([embedded, single], Extras()))
    assert lines[0].split()[0] == "met"
    assert lines[-1].split()[0] == "met"
    assert lines[-1].endswith("0.40 (0.40..0.40)")


def test_what_waits_for_redis_is_judged_by_the_core_of_the_floor() -> None:
    """A server that waits for Redis is idle meanwhile, which tells nothing of its core; the floor is not."""
    waiting = measurement("redis-allowed", 1, speed=950.0, busy=0.7, redis=12.0)
    quiet = [measurement("floor", 1, busy=0.97), waiting]
    noisy = [measurement("floor", 1, busy=0.6), waiting]
    verdicts = [
        next(line.split()[0] for line in report.targets([rounds], Extras()) if "on Redis, allowed" in line)
        for rounds in (quiet, noisy)
    ]
    assert verdicts == ["met", "unsure"]
    assert not [line for line in report.series(quiet) if line.startswith("Note")]


def test_one_connection_is_judged_by_how_steady_the_floor_is() -> None:
    """One caller keeps no server busy: there the floor's own figures tell that the machine was not quiet."""
    rounds = [
        measurement(name, number, speed=speed, connections=1, busy=0.5)
        for number, speed in ((1, 100.0), (2, 130.0))
        for name in ("floor", "redis-single")
    ]
    assert list(report.targets([rounds], Extras()))[-1].split()[0] == "unsure"
    assert list(report.targets([rounds[:2]], Extras()))[-1].split()[0] == "met"


def test_the_cost_of_redis_is_shown_where_it_is_asked() -> None:
    """The table of those on Redis has a column more, and the floor none of its figures."""
    rounds = [measurement("floor", 1), measurement("redis-allowed", 1, redis=12.34)]
    headings, floor, asking = list(report.series(rounds))[1:4]
    assert headings.endswith("Redis µs/check")
    assert (floor.split()[-1], asking.split()[-1]) == ("-", "12.3")
    assert "Redis" not in "".join(report.series(rounds[:1]))


def test_report_does_not_judge_speed_of_a_server_without_its_core() -> None:
    """Where other work took a part of a core, checks/s and times prove nothing, but CPU time does."""
    rounds = [measurement("floor", 1, busy=0.6), measurement("allowed", 1, cpu=8.0)]
    verdicts = [line.split()[0] for line in report.targets([rounds], Extras())]
    assert verdicts[:3] == ["unsure", "met", "unsure"]
    assert any("bare ASGI function" in line for line in report.series(rounds) if line.startswith("Note"))


def test_report_names_void_measurements() -> None:
    """Nobody can take a void figure for a good one: the table says so, and why stands below."""
    rounds = [measurement("floor", 1), void("allowed", 1)]
    rows = [line.partition("allowed")[2].split() for line in report.series(rounds) if "warm check" in line]
    assert rows == [["void"] * 6, ["void"] * 4]
    assert list(report.faults(rounds)) == [
        "VOID: round 1, 64 connections, extauth, warm check allowed: wrong"
    ]


@pytest.mark.parametrize(
    ("status", "refused", "fine"), [(200, 0, True), (200, 1, False), (429, 1_000, True), (429, 999, False)]
)
def test_all_answers_must_have_the_expected_kind_of_status(*, status: int, refused: int, fine: bool) -> None:
    """One wrong answer among all voids the measurement, whichever way it is wrong."""
    faults = measuring._wrong_answers(contender(status), load_result(refused=refused))
    assert (faults == []) is fine


def test_broken_connections_void_a_measurement() -> None:
    """Time spent on connecting again is no time of a check."""
    assert measuring._wrong_answers(contender(200), load_result(broken=1)) == ["1 socket errors or time-outs"]


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody writes to the log any more: that it is still is seen at once."""
    monkeypatch.setattr(service, "_LOG_STILL_SECONDS", 0.0)


@pytest.mark.usefixtures("written")
@pytest.mark.parametrize(("lines", "fine"), [(9, False), (10, True), (16, True), (17, False)])
def test_every_check_must_have_its_decision_line(tmp_path: Path, *, lines: int, fine: bool) -> None:
    """Ten checks on four connections leave ten lines, and at most four under way and two of probes more."""
    log = write_decisions(tmp_path / "log", *["rate_limited"] * lines)
    faults = measuring._missing_lines(contender(429, log), load_result(requests=10), 4)
    assert (faults == []) is fine


@pytest.mark.usefixtures("written")
def test_decision_lines_with_another_code_void_a_measurement(tmp_path: Path) -> None:
    """A 429 for another reason than the one that is measured is noticed."""
    log = write_decisions(tmp_path / "log", *["rate_limited"] * 9, "overloaded")
    faults = measuring._missing_lines(contender(429, log), load_result(requests=10), 4)
    assert faults == ["1 of 10 decision lines are not 'rate_limited'"]


def test_lines_are_counted_across_the_pieces_they_are_read_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line that lies in two pieces of the file is counted once, with its code."""
    monkeypatch.setattr(service, "_CHUNK", 7)
    log = write_decisions(tmp_path / "log", "allowed", "invalid_key", "allowed")
    assert log.count("allowed") == (3, 2)
    log.clear()
    assert log.count("allowed") == (0, 0)


def test_pinning_ends() -> None:
    """What is started later is not confined to the core of a server."""
    before = os.sched_getaffinity(0)
    core = choose_cores().load
    with pinned(core):
        assert os.sched_getaffinity(0) == {core}
    assert os.sched_getaffinity(0) == before


def test_settings_of_the_environment_do_not_reach_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    """An operator's own settings change nothing about what is measured."""
    monkeypatch.setenv("EXTAUTH_LOG__LEVEL", "error")
    monkeypatch.setenv("extauth_config", "/elsewhere.yaml")
    assert not [name for name in clean_environment() if name.upper().startswith("EXTAUTH_")]


def test_reports_are_read_as_those_of_a_proxy() -> None:
    """As signals with their lease, whole: else what is measured is how they are not read."""
    told = [Ended(b"r-%d" % number, b"a-%d.1.2.b~c" % number, 1_234) for number in range(3)]
    expected = [Signal(f"r-{number}", f"a-{number}.1.2.b~c", False, 200, 1_234) for number in range(3)]
    request = log_request(told, 5)
    head, _, chunks = request.partition(b"\r\n\r\n")
    size, _, body = chunks.removesuffix(b"\r\n0\r\n\r\n").partition(b"\r\n")
    assert head.startswith(b"POST /v1/logs HTTP/1.1\r\n")
    assert (len(body), list(read_otlp(body)), OtlpReader().recall(body)) == (
        int(size, 16),
        expected,
        expected,
    )
    # nginx tells milliseconds.
    assert [read_line(line(one)) for one in told] == [one._replace(duration_us=1_000) for one in expected]


def test_a_clock_of_another_process_tells_what_it_used() -> None:
    """All of it, and no more once it stands still."""
    command = [sys.executable, "-c", "print(flush=True); input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        meter = Meter(child.pid)
        used = meter.used_us()
        assert used > 0
        assert meter.used_us() == used
        child.communicate(b"\n")


def test_short_turns_are_compared_within_their_round() -> None:
    """A round in which all were slower changes no ratio, and a server pays for what it has left to do."""
    rounds = [(Done(100, 1.0, 0.0), Done(50, 1.0, 0.1)), (Done(20, 1.0, 0.0), Done(10, 1.0, 0.1))]
    lines = table(["floor", "one"], rounds)
    assert lines[1] == "floor: 0.00 (0.00..0.00) % of a core in others' turns"
    assert lines[2] == "one: 10.00 (10.00..10.00) % of a core in others' turns"
    assert lines[3] == (
        "  of floor: checks/s 0.50 (0.50..0.50), each with its own background 0.45 (0.45..0.45), "
        "CPU 2.00 (2.00..2.00)"
    )


@pytest.mark.parametrize("text", ["0", "-1", "51", "1.5", "many", ""])
def test_no_benchmark_is_without_an_end(text: str) -> None:
    """Whoever asks for more than the bound, or for nothing, is told so."""
    assert whole_up_to(50)("50") == 50
    with pytest.raises(argparse.ArgumentTypeError, match="from 1 to 50"):
        whole_up_to(50)(text)
