// Elements, numbers in words, and histograms as SVG, whose colours the style sheet gives.

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 320;
const HEIGHT = 96;

/** Return an element with properties, attributes where a name has a hyphen or is "role", and children. */
function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "role" || name.includes("-")) made.setAttribute(name, value);
    else made[name] = value;
  }
  made.append(...children);
  return made;
}

function drawing(tag, attributes = {}, ...children) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** Return a number in words: whole numbers in full, others to four digits. */
function inWords(value) {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "NaN" : value > 0 ? "∞" : "−∞";
  const text = Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(4)));
  return text.replace("-", "−");
}

/** Return a figure of counts on a logarithmic scale, and a function that marks a window in it. */
function histogramFigure(title, curves, unit) {
  const { low, width } = curves[0].histogram;
  const high = low + width * curves[0].histogram.counts.length;
  const top = Math.log1p(Math.max(1, ...curves.flatMap((curve) => curve.histogram.counts)));
  const mark = drawing("rect", { class: "mark", y: 0, height: HEIGHT });
  const paths = curves.map(({ name, histogram }) => {
    const step = WIDTH / histogram.counts.length;
    const points = histogram.counts.map((count, n) => {
      const y = (HEIGHT * (1 - Math.log1p(count) / top)).toFixed(1);
      return `${(n * step).toFixed(2)},${y} ${((n + 1) * step).toFixed(2)},${y}`;
    });
    const outline = `M0,${HEIGHT} L${points.join(" ")} L${WIDTH},${HEIGHT} Z`;
    return drawing("path", { d: outline, class: `curve ${name.toLowerCase()}` });
  });
  const svg = drawing(
    "svg",
    { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" },
    mark,
    ...paths,
  );
  const ending = unit ? ` ${unit}` : "";
  svg.setAttribute(
    "aria-label",
    `${title}: voxels by value, from ${inWords(low)} to ${inWords(high)}${ending}`,
  );
  const legend = curves.map(({ name }) =>
    element("span", { className: `key ${name.toLowerCase()}` }, name),
  );
  const figure = element(
    "figure",
    { className: "histogram" },
    element("figcaption", {}, title, element("span", { className: "keys" }, ...legend)),
    svg,
    element(
      "div",
      { className: "ends", "aria-hidden": "true" },
      element("span", {}, inWords(low)),
      element("span", {}, "voxels, logarithmic"),
      element("span", {}, `${inWords(high)}${ending}`),
    ),
  );
  const show = (from, to) => {
    const at = (value) => Math.min(WIDTH, Math.max(0, ((value - low) / (high - low)) * WIDTH));
    mark.setAttribute("x", at(from));
    mark.setAttribute("width", Math.max(1, at(to) - at(from)));
  };
  return [figure, show];
}
