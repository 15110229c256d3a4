"""Where a recording goes: a viewer on this screen, a page for browsers, a file."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rerun as rr
import rerun_cli

from dw_core.errors import ConfigError
from dw_core.geometry.camera import Rig
from dw_core.viewing.layout import layout

APPLICATION = "dw view"
FLUSH_LIMIT_S = 120.0


@dataclass(frozen=True)
class Sinks:
    """`web`: serve a page at `port`, and its data at the port after it. `save`: write a file; then there is
    no viewer unless `web` asks for one. `memory`: when a viewer or server has taken this much, such as 2GB,
    it forgets the oldest data."""

    web: bool = False
    port: int = 9090
    save: Path | None = None
    memory: str = "2GB"

    @property
    def native(self) -> bool:
        """Whether a window opens."""
        return not self.web and self.save is None

    @property
    def page(self) -> str:
        """Address of the page of `web`."""
        return f"http://localhost:{self.port}/?url=rerun%2Bhttp://localhost:{self.port + 1}/proxy"


def has_screen(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether a window can open on this machine."""
    return sys.platform != "linux" or any(environment.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))


def open_stream(sinks: Sinks, rig: Rig, live: bool) -> rr.RecordingStream:
    """A stream into the sinks, with the layout for a rig. Raises ConfigError for a port that is taken, a file
    that cannot be written and a screen that is not there."""
    if sinks.native and not has_screen():
        raise ConfigError(
            "there is no screen here (neither DISPLAY nor WAYLAND_DISPLAY is set): say --web and open the "
            "page in a browser, or --save FILE.rrd"
        )
    if sinks.web:
        _require_free(sinks.port, sinks.port + 1)
    stream = rr.RecordingStream(APPLICATION)
    try:
        stream.set_sinks(*_made(stream, sinks, live))
        if sinks.web:
            rr.serve_web_viewer(web_port=sinks.port, open_browser=False)
    except (OSError, RuntimeError, ValueError) as error:
        raise ConfigError(f"the viewer cannot be opened: {str(error).splitlines()[0]}") from None
    stream.send_blueprint(layout(rig, live))
    return stream


def _require_free(*ports: int) -> None:
    """rerun itself would say so in another thread, and later."""
    for port in ports:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("", port))
            except OSError as error:
                raise ConfigError(
                    f"port {port} cannot be had ({error.strerror}), "
                    "expected two free ports in a row: say --port"
                ) from None


def hand_over(stream: rr.RecordingStream) -> None:
    """Wait until everything has reached the sinks. Raises ConfigError when they do not take it."""
    try:
        stream.flush(timeout_sec=FLUSH_LIMIT_S)
    except (RuntimeError, ValueError, TimeoutError) as error:
        raise ConfigError(f"the viewer does not take the run: {str(error).splitlines()[0]}") from None


def _made(stream: rr.RecordingStream, sinks: Sinks, live: bool) -> list[Any]:
    made: list[Any] = []
    if sinks.save is not None:
        # the footer is an index of the whole file, kept in memory until its end
        made.append(rr.FileSink(sinks.save, write_footer=not live))
    if sinks.web:
        made.append(rr.GrpcServerSink(port=sinks.port + 1, server_memory_limit=sinks.memory))
    elif sinks.native:
        rr.spawn(
            port=sinks.port,
            connect=False,
            memory_limit=sinks.memory,
            server_memory_limit=sinks.memory,
            hide_welcome_screen=True,
            executable_path=str(Path(rerun_cli.__file__).with_name("rerun")),  # on nobody's PATH
            recording=stream,
        )
        made.append(rr.GrpcSink(f"rerun+http://127.0.0.1:{sinks.port}/proxy"))
    return made
