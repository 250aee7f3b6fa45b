"""The machine's load as Linux tells it."""

from segserve.observability.host import HostLoad


def write(folder, busy, idle, available_kib):
    (folder / "stat").write_text(f"cpu  {busy} 0 0 {idle} 10 0 0 0 7 0\ncpu0 1 2 3\n")
    (folder / "meminfo").write_text(f"MemTotal: 1000 kB\nMemAvailable: {available_kib} kB\n")


def test_cores_and_memory(tmp_path):
    write(tmp_path, busy=100, idle=100, available_kib=400)
    load = HostLoad(tmp_path)
    write(tmp_path, busy=175, idle=125, available_kib=400)
    assert load.cpu_utilization() == 0.75
    assert load.cpu_utilization() == 0
    assert load.memory_bytes() == (1_024_000, 614_400)


def test_where_the_system_does_not_tell(tmp_path):
    load = HostLoad(tmp_path)
    assert load.cpu_utilization() is None
    assert load.memory_bytes() is None


def test_this_machine():
    load = HostLoad()
    told = load.memory_bytes()
    assert told is None or 0 < told[1] < told[0]
    assert 0 <= (load.cpu_utilization() or 0) <= 1
