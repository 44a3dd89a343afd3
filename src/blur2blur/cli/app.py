"""`blur2blur app`: the same in a browser, for people without a terminal."""

from typing import Annotated

import typer


def app(
    host: Annotated[
        str, typer.Option(help="Address to listen at; one that others reach needs --password.")
    ] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Not given: the first free one from 7860.")
    ] = None,
    password: Annotated[
        str | None, typer.Option(envvar="BLUR2BLUR_PASSWORD", help="Asked for from everybody.")
    ] = None,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the page in a browser.")
    ] = True,
    install_shortcut: Annotated[
        bool,
        typer.Option(
            "--install-shortcut", help="Put the page among the desktop's programs, and end."
        ),
    ] = False,
) -> None:
    """Open a page on this machine: deblur photographs, look at them, teach it your camera.

    Nothing leaves the machine. Ctrl-C ends it.
    """
    if install_shortcut:
        from blur2blur.app import shortcut

        typer.echo(f"written: {shortcut.install()}")
        return
    import webbrowser

    from blur2blur.app.serve import Server

    server = Server(host=host, port=port, password=password)
    try:
        typer.echo(f"{server.url} (Ctrl-C ends it)")
        if browser:
            webbrowser.open(server.url)
        server.wait()
    finally:
        server.close()
