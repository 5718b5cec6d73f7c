"""Rates from counters."""

from controller.load import Load, Meter, PortCounters


def test_rates_are_differences_and_a_restart_gives_none():
    meter = Meter()
    meter.ports(1, {1: PortCounters(rx_bytes=1000, tx_bytes=0)}, 10.0)
    meter.ports(1, {1: PortCounters(rx_bytes=2000, tx_bytes=500)}, 12.0)
    assert meter.load(1, 1) == Load(rx=4000.0, tx=2000.0)
    meter.ports(1, {1: PortCounters(rx_bytes=10, tx_bytes=10)}, 13.0)
    assert meter.load(1, 1) == Load(rx=4000.0, tx=2000.0)
    meter.forget(1)
    assert meter.load(1, 1) == Load()
