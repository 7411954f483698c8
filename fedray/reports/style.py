"""The look of the page: dark ink on white, one column, wide tables that scroll, and a sheet of paper in print."""

CSS = """
:root { --ink: #1f2933; --muted: #616e7c; --rule: #d9d4c8; --paper: #ffffff; --soft: #f7f5f0; --accent: #1d4e89;
        --good: #2f6b3e; --bad: #b3261e; }
* { box-sizing: border-box; }
html { background: var(--paper); color: var(--ink); -webkit-text-size-adjust: 100%; }
body { margin: 0; font: 16px/1.55 "Helvetica Neue", Helvetica, Arial, "Liberation Sans", "DejaVu Sans", sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 40px 32px 72px; }
h1, h2, .verdict p:first-of-type { font-family: Georgia, "Liberation Serif", "DejaVu Serif", serif; }
h1 { font-size: 34px; line-height: 1.2; font-weight: 600; margin: 4px 0 6px; overflow-wrap: anywhere; }
h2 { font-size: 23px; line-height: 1.3; font-weight: 600; margin: 52px 0 4px; padding-top: 14px;
     border-top: 1px solid var(--rule); }
h2.set { font-size: 30px; margin-top: 80px; border-top: 3px solid var(--ink); overflow-wrap: anywhere; }
h3 { font-size: 16px; margin: 26px 0 6px; overflow-wrap: anywhere; }
p { margin: 8px 0; max-width: 74ch; }
a { color: var(--accent); }
.eyebrow { font-size: 12px; letter-spacing: .09em; text-transform: uppercase; color: var(--muted); margin: 0; }
.under, .question { color: var(--muted); margin: 0 0 12px; }
.question { font-style: italic; }
nav { margin: 18px 0 0; font-size: 14px; }
nav a { margin-right: 16px; white-space: nowrap; }
.verdict { background: var(--soft); border-left: 4px solid var(--accent); padding: 16px 24px 18px; margin: 24px 0 0; }
.verdict.bad { border-color: var(--bad); }
.verdict p { max-width: none; font-size: 17px; }
.verdict p:first-of-type { font-size: 20px; line-height: 1.45; margin-top: 2px; }
.badges { display: flex; flex-wrap: wrap; gap: 8px; margin: 14px 0 0; padding: 0; list-style: none; font-size: 13px; }
.badge { border: 1px solid currentColor; border-radius: 3px; padding: 1px 8px; font-size: 13px; white-space: nowrap;
         display: inline-block; }
.badge.good { color: var(--good); } .badge.bad { color: #fff; background: var(--bad); border-color: var(--bad); }
.badge.open { color: var(--muted); }
.finding { font-size: 17px; margin-left: 6px; }
figure { margin: 20px 0 24px; break-inside: avoid; }
figure img { display: block; max-width: 100%; height: auto; }
img.tiles { width: 100%; image-rendering: pixelated; }
figcaption { font-size: 13.5px; line-height: 1.45; color: var(--muted); margin-top: 8px; max-width: 88ch; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 28px; break-inside: avoid; }
.side { display: grid; grid-template-columns: repeat(auto-fit, minmax(200px, 1fr)); gap: 22px; break-inside: avoid; }
.side figure { margin: 6px 0 8px; }
.pair figure { margin: 6px 0 8px; }
.scroll { overflow-x: auto; margin: 16px 0 10px; }
table { border-collapse: collapse; font-size: 14px; line-height: 1.4; min-width: 68%; }
th { text-align: left; font-weight: 600; vertical-align: bottom; border-bottom: 1.5px solid var(--ink);
     padding: 6px 18px 6px 0; }
td { border-bottom: 1px solid var(--rule); padding: 6px 18px 6px 0; vertical-align: top; }
th.number, td.number { text-align: right; font-variant-numeric: tabular-nums; }
td.number { white-space: nowrap; }
th:last-child, td:last-child { padding-right: 2px; }
tbody tr { break-inside: avoid; }
.protocol { display: block; font: 12px/1.4 "DejaVu Sans Mono", Menlo, Consolas, monospace; color: var(--muted); }
.worse { color: var(--bad); } .level { color: var(--good); }
.note { font-size: 13.5px; color: var(--muted); max-width: 88ch; }
dl { display: grid; grid-template-columns: minmax(150px, 230px) 1fr; gap: 4px 24px; font-size: 14px; margin: 16px 0; }
dt { color: var(--muted); } dd { margin: 0; overflow-wrap: anywhere; }
pre { background: var(--soft); padding: 12px 16px; font: 13px/1.5 "DejaVu Sans Mono", Menlo, Consolas, monospace;
      white-space: pre-wrap; overflow-wrap: anywhere; }
ul.notes { padding-left: 18px; font-size: 14px; max-width: 88ch; } ul.notes li { margin: 5px 0; }
@media (max-width: 720px) { .pair, dl { grid-template-columns: 1fr; } main { padding: 24px 16px; } }
@media print {
  @page { size: A4; margin: 16mm 14mm; }
  body { font-size: 10.5pt; } main { max-width: none; padding: 0; }
  h1 { font-size: 21pt; } h2 { font-size: 14pt; margin-top: 26pt; break-after: avoid; } h3 { break-after: avoid; }
  .verdict p, .finding { font-size: 11pt; } .verdict p:first-of-type { font-size: 13pt; }
  figcaption, .note, ul.notes, dl { font-size: 8.5pt; } .protocol { font-size: 7.5pt; }
  h2.set { break-before: page; font-size: 18pt; }
  nav { display: none; } .scroll { overflow: visible; } table { font-size: 8.5pt; }
  th, td { padding-right: 8pt; } td.number { white-space: normal; }
  .verdict, .badge, pre { -webkit-print-color-adjust: exact; print-color-adjust: exact; }
}
"""
"""Style sheet; fonts are those that the reader has."""
