"""The largest TCP flows once a second, in Mb/s."""

from client import Script

script = Script()
script.set_flow("top_flows", keys="ipsource,ipdestination,tcpsourceport,tcpdestinationport", value="bytes", t=2)


@script.every(1)
def show(_: float) -> None:
    for flow in script.active_flows("ALL", "top_flows", max_flows=10):
        print(f"{flow['value'] * 8 / 1e6:8.2f}  {flow['key']}")
    print(flush=True)


script.run()
