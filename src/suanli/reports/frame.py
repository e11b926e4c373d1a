"""The frame of an offline page: style, tables, sections with a chart, and the chart library itself."""

import html
from collections.abc import Sequence

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs


def document(title: str, facts: Sequence[str], tables: str, body: str) -> str:
    """The whole page. `tables` and `body` are HTML, title and facts text."""
    told = "".join(f"<li>{html.escape(fact)}</li>" for fact in facts)
    title = html.escape(title)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style>'
        f"<script>{get_plotlyjs()}</script></head><body><h1>{title}</h1><ul>{told}</ul>{tables}{body}</body></html>"
    )


def table(
    head: Sequence[str], rows: Sequence[Sequence[str]], marked: frozenset[tuple[int, int]] = frozenset()
) -> str:
    """A table of text; cells that are `marked`, by row and column, stand out."""
    names = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
    lines = "".join(
        "<tr>"
        + "".join(
            f"<td{' class=best' if (r, c) in marked else ''}>{html.escape(cell)}</td>"
            for c, cell in enumerate(row)
        )
        + "</tr>"
        for r, row in enumerate(rows)
    )
    return f"<table><thead><tr>{names}</tr></thead><tbody>{lines}</tbody></table>"


def section(heading: str, caption: str, figure: go.Figure) -> str:
    chart = figure.to_html(full_html=False, include_plotlyjs=False, config={"displayModeBar": False})
    return f"<section><h2>{heading}</h2><p>{caption}</p>{chart}</section>"


def styled(figure: go.Figure) -> go.Figure:
    figure.update_layout(
        template="plotly_white",
        margin={"l": 10, "r": 10, "t": 10, "b": 30},
        font={"family": "system-ui, sans-serif", "size": 13},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"},
    )
    return figure


_STYLE = """
body{font-family:system-ui,sans-serif;max-width:1080px;margin:2rem auto;padding:0 1rem;color:#1d2430;line-height:1.45}
h1{font-size:1.6rem;margin-bottom:.4rem}h2{font-size:1.1rem;margin:2rem 0 .1rem}section p{color:#5b6472;margin:.1rem 0}
ul{padding-left:1.2rem;color:#39424e}table{border-collapse:collapse;width:100%;font-size:.92rem;margin-top:1rem}
th{text-align:left;border-bottom:2px solid #d5dae1;padding:.35rem .6rem}td{border-bottom:1px solid #e8ebef;
padding:.35rem .6rem;vertical-align:top}td.best{font-weight:650;color:#23744a}
"""
