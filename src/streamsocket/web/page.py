"""The page at `/`: what can be watched, and where. No scripts, nothing loaded from elsewhere."""

from __future__ import annotations

from html import escape
from string import Template

from streamsocket import wording
from streamsocket.status import ServerStatus, StreamStatus

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"
)

_PAGE = Template("""\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>StreamSocket</title>
<style>
  :root { color-scheme: light dark; }
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 3rem auto;
         padding: 0 1.25rem; }
  h1 { font-size: 1.4rem; margin-bottom: 2rem; }
  h2 { font-size: 1.1rem; margin: 0; overflow-wrap: anywhere; }
  article { border-top: 1px solid #8884; padding: 1.25rem 0; }
  p { margin: .25rem 0; }
  code { font-size: .95rem; overflow-wrap: anywhere; user-select: all; }
  .quiet { opacity: .7; font-size: .9rem; }
  .live::before { content: "\\25CF\\00A0"; color: #2a9d4a; }
  .failed { color: #c0392b; opacity: 1; }
</style>
</head>
<body>
<h1>StreamSocket</h1>
<main>
$streams
</main>
<footer class="quiet">
<p>Open an address in VLC, ffplay or any other RTSP player.</p>
<p>StreamSocket $version · <a href="/api/streams">API</a> · <a href="/metrics">metrics</a></p>
</footer>
</body>
</html>
""")

_STREAM = Template("""\
<article>
<h2>$name</h2>
<p><a href="$url"><code>$url</code></a></p>
<p class="quiet $state">$facts</p>
$message</article>
""")

_NOTHING = (
    "<p>There are no streams at the moment. Publish one here, or start the server with one: "
    "<code>streamsocket serve movie.mp4</code></p>"
)


def render_page(status: ServerStatus, *, host: str, rtsp_port: int) -> str:
    """Return the page as HTML. `host` is the name that the browser reached the server by."""
    articles = [_render_stream(stream, host, rtsp_port) for stream in status.streams]
    return _PAGE.substitute(streams="".join(articles) or _NOTHING, version=escape(status.version))


def _render_stream(stream: StreamStatus, host: str, rtsp_port: int) -> str:
    facts = [stream.state, wording.tracks(stream)]
    if stream.state == "live":
        facts += [wording.bitrate(stream.bitrate_bps), wording.counted(stream.viewers, "viewer")]
    message = f"<p>{escape(stream.message)}</p>\n" if stream.message else ""
    return _STREAM.substitute(
        name=escape(stream.name),
        url=escape(wording.rtsp_url(host, rtsp_port, stream.name)),
        state=stream.state,
        facts=escape(" · ".join(fact for fact in facts if fact)),
        message=message,
    )
