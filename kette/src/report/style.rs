//! How a report looks, in light and in dark.

/// The style sheet.
pub const CSS: &str = "
:root{--ink:#1d2430;--soft:#667085;--paper:#fbfbfa;--card:#fff;--line:#e3e5e8;--accent:#2563a8;--good:#1a7f4b;
--bad:#c0342b;--fault:#d97706;color-scheme:light dark}
@media (prefers-color-scheme:dark){:root{--ink:#e4e7ec;--soft:#98a2b3;--paper:#12151a;--card:#1a1f27;--line:#2c333e;
--accent:#6aa5e8;--good:#4cc38a;--bad:#f0766c;--fault:#f0a84a}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
main{max-width:1100px;margin:0 auto;padding:2rem 1.2rem 4rem}
h1{display:inline-block;font-size:1.6rem;margin:0 .8rem .2rem 0}
h2{font-size:1.1rem;margin:2.2rem 0 .6rem}
p{margin:.3rem 0;color:var(--soft)}
code{font:12.5px/1.4 ui-monospace,monospace;overflow-wrap:anywhere}
.badge{padding:.1rem .7rem;border-radius:1rem;border:1px solid currentColor;font-weight:600;vertical-align:.25rem}
.good{color:var(--good)}.bad{color:var(--bad)}
.figures{display:grid;grid-template-columns:repeat(auto-fill,minmax(150px,1fr));gap:.7rem;margin-top:1.2rem}
.figures div{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:.6rem .8rem}
.figures b{display:block;font-size:1.2rem;font-variant-numeric:tabular-nums}
.figures span{color:var(--soft);font-size:.82rem}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,500px),1fr));gap:1rem}
figure{margin:0;background:var(--card);border:1px solid var(--line);border-radius:8px;padding:.8rem}
figcaption{font-size:.85rem;color:var(--soft);margin-bottom:.3rem}
figcaption b{color:var(--ink)}
svg{width:100%;height:auto;display:block}
svg text{fill:var(--soft);font:11px system-ui,sans-serif}
.axis{stroke:var(--soft);fill:none}.grid{stroke:var(--line);fill:none}
.curve{fill:none;stroke:var(--accent);stroke-width:1.8}
.node{fill:none;stroke-width:1.2;opacity:.75}
.mark{stroke:var(--soft);stroke-dasharray:3 3;fill:none}
.fault{fill:var(--fault);opacity:.16}
.dot{fill:var(--accent)}.dot.wrong{fill:var(--bad)}
.lag{fill:var(--accent)}.down{fill:url(#hatch);stroke:none}.hatch{stroke:var(--soft);stroke-width:1}
.wide{overflow-x:auto;background:var(--card);border:1px solid var(--line);border-radius:8px}
table{border-collapse:collapse;width:100%;font-size:.86rem;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:.35rem .7rem;border-bottom:1px solid var(--line);vertical-align:top}
th{color:var(--soft);font-weight:600;white-space:nowrap}
tr:last-child td{border-bottom:0}
.edge{stroke:var(--accent);stroke-width:1;opacity:.45}.boot{stroke:var(--good);stroke-width:2;opacity:.9}
.peer{fill:var(--accent)}.peer.gone{fill:var(--bad)}
pre{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:.7rem;overflow-x:auto}
";
