"""The command line of analytics. `__main__.py` is the same command without the others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from analytics import config, decode
from analytics.config import Settings
from documents.printable import complain


def analytics(
    *,
    host: Annotated[str | None, typer.Option(help="Address of the HTTP interface.", show_default=Settings.host)] = None,
    port: Annotated[
        int | None, typer.Option(help="TCP port of the HTTP interface.", show_default=str(Settings.port))
    ] = None,
    sflow_host: Annotated[
        str | None, typer.Option(help="Address to receive sFlow on.", show_default=Settings.sflow_host)
    ] = None,
    sflow_port: Annotated[
        int | None, typer.Option(help="UDP port to receive sFlow on.", show_default=str(Settings.sflow_port))
    ] = None,
    sflow_sockets: Annotated[
        int | None,
        typer.Option(help="Sockets on that port, with a thread each.", show_default=str(Settings.sflow_sockets)),
    ] = None,
    sflow_source: Annotated[
        list[str] | None,
        typer.Option(help="Address or prefix that may send sFlow; may be repeated.", show_default="any"),
    ] = None,
    memory: Annotated[
        int | None, typer.Option(help="Bytes that the process may take.", show_default="a quarter of the machine's")
    ] = None,
    replay: Annotated[
        str | None, typer.Option(help="Play this capture instead of listening; its sFlow goes to --sflow-port.")
    ] = None,
    speed: Annotated[
        str | None,
        typer.Option(help="Play it so many times as fast, or `max`.", show_default=str(Settings.replay_speed)),
    ] = None,
    loop: Annotated[bool | None, typer.Option("--loop", help="Play it again and again.", show_default="once")] = None,
    state: Annotated[
        str | None, typer.Option(help="Directory to keep definitions and topology in.", show_default="nothing is kept")
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(envvar="HOWDAH_ANALYTICS_TOKEN", help="What writing needs. All users see a command line."),
    ] = None,
    user: Annotated[
        str | None,
        typer.Option(help="Whom root becomes when all is open; root stays.", show_default="howdah, else nobody"),
    ] = None,
    config_file: Annotated[
        Path | None,
        typer.Option("--config", envvar="HOWDAH_CONFIG", help="YAML file; its section 'analytics' is read."),
    ] = None,
    parent_pid: Annotated[int | None, typer.Option(help="End when this process has ended (for a supervisor).")] = None,
) -> None:
    """Receive sFlow, follow flows and counters, answer over HTTP (sFlow-RT's REST API)."""
    from analytics.server import run  # noqa: PLC0415 - the native core and the web server only when they are wanted

    try:
        settings = config.load(
            config_file,
            host=host,
            port=port,
            sflow_host=sflow_host,
            sflow_port=sflow_port,
            sflow_sockets=sflow_sockets,
            sflow_sources=tuple(sflow_source) if sflow_source else None,
            memory=memory,
            replay=replay,
            replay_speed=speed_of(speed),
            replay_loop=loop,
            state=state,
            token=token,
            user=user,
        )
        run(settings, parent_pid)
    except (ValueError, OSError) as fault:
        complain(f"howdah analytics: {in_one_line(fault)}")
        raise typer.Exit(1) from None


def speed_of(text: str | None) -> float | None:
    """`--speed` as the configuration has it; ValueError if it is no speed."""
    if text is None or text == "max":
        return None if text is None else 0.0
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not number > 0.0:
        raise ValueError(f"--speed {text!r} is neither a number above 0 nor max")
    return number


def in_one_line(fault: Exception) -> str:
    """Without Python's "[Errno 2]"."""
    if isinstance(fault, OSError) and fault.strerror:
        return f"{fault.filename}: {fault.strerror}" if fault.filename else fault.strerror
    return str(fault)


def register(app: typer.Typer) -> None:
    """Add our commands to the one app of scripts/howdah."""
    app.command("analytics")(analytics)
    app.command("decode")(decode.decode)
