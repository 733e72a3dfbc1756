// Draws the figures of the page: the view that is chosen, in the colours of the reader's theme, and its data as CSV.
"use strict";
(() => {
  // Okabe and Ito's colours, which the colour-blind can tell apart; the darkest gets the theme's text colour.
  const SERIES = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", null, "#999999"];
  const NARROW = 600;
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const figures = JSON.parse(document.getElementById("figures").textContent);

  const themed = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const colour = (series) => SERIES[series % SERIES.length] || themed("text");

  const faded = (hex, alpha) => {
    const [red, green, blue] = [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
    return `rgba(${red},${green},${blue},${alpha})`;
  };

  const dressed = (trace, narrow) => {
    if (trace.type === "heatmap") {
      const bar = narrow
        ? { orientation: "h", y: 1.02, yanchor: "bottom", thickness: 10, len: 1 }
        : { thickness: 12 };
      return { ...trace, colorscale: "Viridis", reversescale: !dark.matches,
        colorbar: { ...bar, outlinewidth: 0, nticks: 4, tickformat: "~s" } };
    }
    const own = colour(trace.series);
    return { ...trace, line: { width: 2, ...trace.line, color: own },
      marker: { size: 7, ...trace.marker, color: own }, fillcolor: faded(own, 0.18) };
  };

  const axisOf = (axis = {}) => ({
    ...axis, gridcolor: themed("line"), linecolor: themed("line"), zerolinecolor: themed("faint"),
    title: { ...axis.title, standoff: 8 },
  });

  const layoutOf = (figure, width) => ({
    ...figure.layout,
    width,
    height: figure.layout.height || (width < NARROW ? 340 : 440),
    showlegend: false,
    margin: { l: 48, r: 12, t: width < NARROW ? 36 : 12, b: 44 },
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { color: themed("text"), family: getComputedStyle(document.body).fontFamily, size: 12 },
    xaxis: { ...axisOf(figure.layout.xaxis), nticks: width < NARROW ? 6 : 12 },
    yaxis: axisOf(figure.layout.yaxis),
    hoverlabel: { bgcolor: themed("panel"), bordercolor: themed("line"), font: { color: themed("text") } },
  });

  const keyOf = (section) => [...section.querySelectorAll("select")].map((select) => select.value).join("/");

  const legend = (section, traces) => {
    const list = section.querySelector(".legend");
    const shown = traces.filter((trace) => trace.type !== "heatmap" && trace.showlegend !== false);
    list.replaceChildren(...(shown.length > 1 ? shown : []).map((trace) => {
      const item = document.createElement("li");
      const mark = document.createElement("span");
      mark.style.background = colour(trace.series);
      item.append(mark, trace.name);
      return item;
    }));
  };

  const draw = (section, figure) => {
    const place = section.querySelector(".figure");
    const width = place.clientWidth;
    const traces = figure.views[keyOf(section)] || [];
    legend(section, traces);
    return Plotly.react(place, traces.map((trace) => dressed(trace, width < NARROW)), layoutOf(figure, width),
      { displayModeBar: false, displaylogo: false });
  };

  const quoted = (value) => {
    const text = value === null || value === undefined ? "" : String(value);
    return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };

  const rowsOf = (trace) => trace.type === "heatmap"
    ? trace.z.flatMap((row, at) => row.map((z, to) => [trace.name, trace.x[to], trace.y[at], z]))
    : trace.x.map((x, at) => [trace.name, x, trace.y[at], trace.error_y ? trace.error_y.array[at] : ""]);

  const csvOf = (figure) => {
    const views = Object.entries(figure.views);
    const heatmap = views.some(([, traces]) => traces.some((trace) => trace.type === "heatmap"));
    const titles = [figure.layout.xaxis.title.text || "x", figure.layout.yaxis.title.text || "y"];
    const rows = [[...figure.choices.map((choice) => choice.title), "series", ...titles, heatmap ? "value" : "half width"]];
    for (const [key, traces] of views) {
      const chosen = key === "" ? [] : key.split("/").map((option, at) => figure.choices[at].options[option]);
      for (const trace of traces) for (const row of rowsOf(trace)) rows.push([...chosen, ...row]);
    }
    return rows.map((row) => row.map(quoted).join(",")).join("\n") + "\n";
  };

  const choicesOf = (section, figure) => {
    const place = section.querySelector(".choices");
    for (const choice of figure.choices) {
      const label = document.createElement("label");
      const select = document.createElement("select");
      choice.options.forEach((option, value) => select.add(new Option(option, value)));
      select.addEventListener("change", () => draw(section, figure));
      label.append(choice.title, select);
      place.append(label);
    }
  };

  const sections = figures.map((figure) => {
    const section = document.getElementById(figure.name);
    const list = document.createElement("ul");
    list.className = "legend";
    choicesOf(section, figure);
    section.querySelector(".choices").after(list);
    const link = section.querySelector(".download a");
    link.addEventListener("click", () => {
      link.href = URL.createObjectURL(new Blob([csvOf(figure)], { type: "text/csv" }));
    });
    return section;
  });
  const drawAll = () => Promise.all(figures.map((figure, at) => draw(sections[at], figure)));

  let width = 0;
  window.addEventListener("resize", () => {
    if (document.body.clientWidth !== width) { width = document.body.clientWidth; drawAll(); }
  });
  dark.addEventListener("change", drawAll);
  window.vmapsim = { csvOf, figures };
  drawAll().then(() => { document.body.dataset.drawn = String(figures.length); });
})();
