// Draws the charts from the data in the page. What is shown is what the form says: its switches are the legend.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const form = document.getElementById("charts");
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const GROUNDS = {
    light: { ink: "#1d2025", soft: "#5a616c", line: "#e2e2dc", card: "#ffffff" },
    dark: { ink: "#e7e8ea", soft: "#a2a9b4", line: "#30343c", card: "#1b1e24" },
  };
  const canHover = window.matchMedia("(hover: hover)").matches;
  const PRINT_PX = { panel: [315, 290], wide: [660, 330] };
  let isPrinting = false;

  const theme = () => (dark.matches && !isPrinting ? "dark" : "light");
  const wish = () => ({
    split: form.elements.split.value,
    scale: form.elements.scale.value,
    variant: form.elements.variant.value,
    hidden: new Set([...form.querySelectorAll("input[name=shown]:not(:checked)")].map((box) => box.value)),
  });

  function isShown({ meta }, { split, variant, hidden }) {
    return meta.variant === variant && (split === "both" || split === meta.split) && !hidden.has(meta.arm);
  }

  function drawn(trace, wanted) {
    const { meta } = trace;
    const tint = meta.colours[theme()];
    const made = { ...trace, visible: isShown(trace, wanted) };
    // A logarithmic axis has no zero; what is shown on hover stays what was measured.
    if (wanted.scale === "log") made.y = trace.y.map((value) => Math.max(value, data.layout.floor));
    made.line = { ...trace.line, color: tint };
    if (meta.band) made.fillcolor = tint + "24";
    if (trace.marker) made.marker = { ...trace.marker, color: meta.dots ? tint + "66" : tint };
    if (trace.error_y) made.error_y = { ...trace.error_y, color: tint };
    return made;
  }

  function titleOf(split, isFinal) {
    const name = { training: isFinal ? "training" : form.dataset.training, test: form.dataset.test, both: "" }[split];
    return `${name} error in %`.trim();
  }

  function axis(title) {
    const { soft, line } = GROUNDS[theme()];
    return {
      title: { text: title, standoff: 8 }, gridcolor: line, linecolor: line, tickcolor: line, zeroline: false,
      color: soft,
    };
  }

  function layout(name, wanted) {
    const { ink, soft, card } = GROUNDS[theme()];
    const isFinal = name === "final";
    const px = PRINT_PX[isFinal ? "wide" : "panel"];
    const x = axis(isFinal ? "depth (weighted layers)" : "iteration");
    if (isFinal) Object.assign(x, { type: "log", tickvals: data.layout.depths, ticktext: data.layout.depths.map(String), range: data.layout.depth_range });
    else Object.assign(x, { tickformat: ",d", hoverformat: ",d", range: [0, 1.03 * data.layout.iterations] });
    const y = { ...axis(titleOf(wanted.split, isFinal)), type: wanted.scale, range: data.layout.ranges[wanted.scale] };
    if (wanted.scale === "log") Object.assign(y, { tickvals: [0.01, 0.1, 1, 2, 5, 10, 20, 50, 100], tickformat: "~g" });
    const dotted = { type: "line", layer: "below", line: { color: soft, width: 1, dash: "1px,3px" } };
    const named = { text: "chance", textposition: "start", yanchor: "bottom", font: { color: soft, size: 11 } };
    const chance = {
      ...dotted, xref: "paper", x0: 0, x1: 1, y0: data.layout.chance, y1: data.layout.chance, label: named,
    };
    const drops = data.layout.milestones.map((at) => ({ ...dotted, yref: "paper", x0: at, x1: at, y0: 0, y1: 1 }));
    return {
      xaxis: x, yaxis: y, shapes: isFinal ? [chance] : drops, showlegend: false,
      hovermode: isFinal ? "closest" : "x unified",
      hoverlabel: { bgcolor: card, bordercolor: soft, font: { color: ink } },
      font: { family: "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif", size: 12, color: ink },
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", margin: { l: 56, r: 12, t: 10, b: 46 },
      autosize: !isPrinting, width: isPrinting ? px[0] : undefined, height: isPrinting ? px[1] : undefined,
      dragmode: canHover ? "zoom" : false, // a finger scrolls the page
      modebar: { bgcolor: "rgba(0,0,0,0)", color: soft, activecolor: ink },
    };
  }

  function draw() {
    const wanted = wish();
    for (const each of form.querySelectorAll("[data-variant]")) each.hidden = each.dataset.variant !== wanted.variant;
    for (const place of form.querySelectorAll("[data-chart]")) {
      const name = place.dataset.chart;
      const traces = name === "final" ? data.final : data.panels[name];
      Plotly.react(place, traces.map((trace) => drawn(trace, wanted)), layout(name, wanted), {
        responsive: true, displaylogo: false, doubleClick: false, // a tap on a phone comes as one
        displayModeBar: canHover && "hover",
        modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]], // none that sends a chart anywhere
        toImageButtonOptions: { format: "svg", filename: `${document.title} ${name}` },
      });
    }
  }

  form.addEventListener("change", draw);
  form.addEventListener("submit", (event) => event.preventDefault());
  dark.addEventListener("change", draw);
  window.addEventListener("beforeprint", () => { isPrinting = true; draw(); });
  window.addEventListener("afterprint", () => { isPrinting = false; draw(); });
  draw();
})();
