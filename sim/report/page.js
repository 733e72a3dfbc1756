// Draws the figures of the page: the view that is chosen, in the colours of the reader's theme, and its data as CSV.
"use strict";
(() => {
  // Okabe and Ito's colours, which the colour-blind can tell apart; the darkest gets the theme's text colour.
  const SERIES = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", null, "#999999"];
  const POWERS = ["≤1", "10", "100", "1k", "10k", "100k", "1M", "10M", "100M", "1G", "10G", "100G", "1T"];
  const NARROW = 600;
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const figures = JSON.parse(document.getElementById("figures").textContent);

  const themed = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const colour = (series) => SERIES[series % SERIES.length] || themed("text");

  const sectionOf = (figure) => document.getElementById(figure.name);
  const keyOf = (figure) => [...sectionOf(figure).querySelectorAll("select")].map((select) => select.value).join("/");

  const faded = (hex, alpha) => {
    const [red, green, blue] = [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
    return `rgba(${red},${green},${blue},${alpha})`;
  };

  // Colours by powers of ten: a lock that is waited for a hundred times longer must not hide the others' differences.
  const onLogarithms = (trace) => {
    const z = trace.z.map((row) => row.map((value) => (value === null ? null : Math.log10(Math.max(1, value)))));
    const most = Math.max(1, ...z.flat().filter((value) => value !== null));
    const powers = Array.from({ length: Math.floor(most) + 1 }, (_, power) => power);
    return { ...trace, z, zmin: 0, zmax: most, customdata: trace.z,
      hovertemplate: "%{x}, %{y}: %{customdata:,}<extra></extra>",
      colorbar: { ...trace.colorbar, tickvals: powers, ticktext: powers.map((power) => POWERS[power]) } };
  };

  const dressed = (trace, narrow) => {
    if (trace.type === "heatmap") {
      const bar = narrow
        ? { orientation: "h", y: 1.02, yanchor: "bottom", thickness: 10, len: 1 }
        : { thickness: 12 };
      const shown = { ...trace, colorscale: "Viridis", reversescale: !dark.matches,
        colorbar: { ...bar, outlinewidth: 0, nticks: 4, tickformat: trace.log ? "~s" : "~g" } };
      return trace.log ? onLogarithms(shown) : shown;
    }
    const own = colour(trace.series);
    return { ...trace, line: { width: 2, ...trace.line, color: own },
      marker: { size: 7, ...trace.marker, color: own }, fillcolor: faded(own, 0.18) };
  };

  const titleOf = (figure, axis) => {
    const at = figure.choices.findIndex((choice) => choice.axis === axis);
    return at < 0 ? figure.layout[axis].title.text : figure.choices[at].options[keyOf(figure).split("/")[at]];
  };

  const axisOf = (figure, axis) => ({
    ...figure.layout[axis], gridcolor: themed("line"), linecolor: themed("line"), zerolinecolor: themed("faint"),
    title: { text: titleOf(figure, axis), standoff: 8 },
  });

  // A heatmap is as high as its rows need.
  const heightOf = (traces, width) => {
    const rows = Math.max(0, ...traces.filter((trace) => trace.type === "heatmap").map((trace) => trace.y.length));
    const around = width < NARROW ? 150 : 110;
    return rows ? around + Math.min(800, Math.max(40, rows * (rows > 12 ? 12 : 26))) : width < NARROW ? 340 : 440;
  };

  const layoutOf = (figure, traces, width) => ({
    ...figure.layout,
    width,
    height: heightOf(traces, width),
    showlegend: false,
    margin: { l: 48, r: 12, t: width < NARROW ? 36 : 12, b: 44 },
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { color: themed("text"), family: getComputedStyle(document.body).fontFamily, size: 12 },
    xaxis: { ...axisOf(figure, "xaxis"), nticks: width < NARROW ? 4 : 12, tickangle: "auto" },
    yaxis: axisOf(figure, "yaxis"),
    hoverlabel: { bgcolor: themed("panel"), bordercolor: themed("line"), font: { color: themed("text") } },
  });

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

  const draw = (figure) => {
    const section = sectionOf(figure);
    const place = section.querySelector(".figure");
    const width = place.clientWidth;
    const traces = figure.views[keyOf(figure)] || [];
    legend(section, traces);
    Plotly.purge(place); // what is drawn for one width must leave nothing in another's way
    return Plotly.newPlot(place, traces.map((trace) => dressed(trace, width < NARROW)),
      layoutOf(figure, traces, width), { displayModeBar: false, displaylogo: false });
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
    const titles = ["xaxis", "yaxis"].map((axis) => figure.choices.some((choice) => choice.axis === axis)
      ? axis[0] : figure.layout[axis].title.text || axis[0]);
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
      select.value = choice.start;
      select.addEventListener("change", () => draw(figure));
      label.append(choice.title, select);
      place.append(label);
    }
  };

  for (const figure of figures) {
    const section = sectionOf(figure);
    const list = document.createElement("ul");
    list.className = "legend";
    choicesOf(section, figure);
    section.querySelector(".choices").after(list);
    const link = section.querySelector(".download a");
    link.addEventListener("click", () => {
      link.href = URL.createObjectURL(new Blob([csvOf(figure)], { type: "text/csv" }));
    });
  }
  const drawAll = () => Promise.all(figures.map(draw));

  let width = document.body.clientWidth;
  window.addEventListener("resize", () => {
    if (document.body.clientWidth !== width) { width = document.body.clientWidth; drawAll(); }
  });
  dark.addEventListener("change", drawAll);
  window.vmapsim = { csvOf, figures };
  drawAll().then(() => { document.body.dataset.drawn = String(figures.length); });
})();
