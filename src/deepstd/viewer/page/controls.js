// The controls above the pictures and the facts beside them.

const ZOOM_STEP = 1.5;

/** Return the controls and a function that shows the state in them. */
function controls(viewer) {
  const { scene, state } = viewer;
  const shows = [];
  const parts = [];
  if (viewer.views.length > 1) {
    const names = ["all", ...viewer.views.map((view) => view.plane.name)];
    parts.push(choice("Planes", names, () => state.plane, (name) => viewer.show(name)));
  }
  if (scene.difference) {
    parts.push(
      choice(
        "Compare",
        ["side by side", "swipe"],
        () => (state.swipe ? "swipe" : "side by side"),
        (name) => viewer.set({ swipe: name === "swipe" }),
      ),
    );
  }
  parts.push(windowControls());
  if (scene.difference?.largest) {
    const limit = numberInput("Difference up to ±", () => state.limit, (value) => {
      if (value > 0) viewer.set({ limit: value });
    });
    const worst = button("Largest error", () => viewer.goToWorst(), "E");
    parts.push(element("div", { className: "group" }, limit, worst));
  }
  if (scene.frames > 1) parts.push(frameControl());
  const crossing = element("input", { type: "checkbox", checked: state.crosshair });
  crossing.addEventListener("change", () => viewer.set({ crosshair: crossing.checked }));
  parts.push(
    element(
      "div",
      { className: "group" },
      button("−", () => viewer.zoom(state.zoom / ZOOM_STEP), "−", "Zoom out"),
      button("+", () => viewer.zoom(state.zoom * ZOOM_STEP), "+", "Zoom in"),
      button("Fit", () => viewer.zoom(1), "0"),
      element("label", {}, crossing, " Crosshair"),
    ),
  );
  const all = element("div", { className: "controls", role: "toolbar" }, ...parts);
  all.setAttribute("aria-label", "View");
  return [all, () => shows.forEach((show) => show())];

  function choice(title, names, get, choose) {
    const group = `deepstd-${title}-${Math.random().toString(36).slice(2)}`;
    const inputs = names.map((name) => {
      const input = element("input", { type: "radio", name: group, value: name });
      input.addEventListener("change", () => choose(name));
      return input;
    });
    shows.push(() => inputs.forEach((input) => (input.checked = input.value === get())));
    const labels = inputs.map((input, n) =>
      element("label", {}, input, element("span", {}, names[n][0].toUpperCase() + names[n].slice(1))),
    );
    return element(
      "fieldset",
      { className: "choice" },
      element("legend", {}, title),
      element("div", {}, ...labels),
    );
  }

  function windowControls() {
    const names = [...scene.windows.map((window) => window.name), "Own"];
    const select = element("select", {}, ...names.map((name) => new Option(name, name)));
    select.addEventListener("change", () => viewer.chooseWindow(select.value));
    shows.push(() => (select.value = state.window.name));
    const own = (level, width) => {
      if (!(width > 0) || !Number.isFinite(level)) return;
      const window = { name: "Own", low: level - width / 2, high: level + width / 2 };
      viewer.set({ window });
    };
    const level = () => (state.window.low + state.window.high) / 2;
    const width = () => state.window.high - state.window.low;
    return element(
      "div",
      { className: "group" },
      element("label", {}, "Window ", select),
      numberInput("Level", level, (value) => own(value, width())),
      numberInput("Width", width, (value) => own(level(), value)),
    );
  }

  function numberInput(title, get, put) {
    const input = element("input", { type: "number", step: "any", inputMode: "decimal" });
    let typing = false; // what is being typed stays, whatever else is shown meanwhile
    input.addEventListener("input", () => (typing = true));
    input.addEventListener("change", () => {
      typing = false;
      if (input.value !== "") put(Number(input.value));
      show();
    });
    input.addEventListener("blur", () => (typing = false));
    const show = () => {
      if (!typing) input.value = Number(get().toPrecision(5));
    };
    shows.push(show);
    return element("label", {}, `${title} `, input);
  }

  function frameControl() {
    const input = element("input", { type: "range", min: 0, max: scene.frames - 1, step: 1 });
    const number = element("output", { className: "number" });
    input.addEventListener("input", () => viewer.set({ frame: Number(input.value) }));
    shows.push(() => {
      input.value = state.frame;
      number.value = `${state.frame + 1} / ${scene.frames}`;
    });
    return element("div", { className: "group frame-slider" }, element("label", {}, "Frame ", input), number);
  }

  function button(text, act, key, title) {
    const made = element("button", { type: "button", title: `${title ?? text} (${key})` }, text);
    if (title) made.setAttribute("aria-label", title);
    made.addEventListener("click", act);
    return made;
  }
}

/** Return the facts on the file, and a function that marks the window in its histogram. */
function facts(viewer) {
  const { scene } = viewer;
  const kinds = ["original", "restored"].filter((kind) => scene.histograms[kind]);
  const curves = kinds.map((kind) => ({ name: TITLES[kind], histogram: scene.histograms[kind] }));
  const [values, mark] = histogramFigure("Grey values", curves, scene.unit);
  const parts = [values];
  let markErrors = () => {};
  if (scene.difference?.largest) {
    const errors = [{ name: "Difference", histogram: scene.difference.histogram }];
    const [figure, show] = histogramFigure("Restored − original", errors, scene.unit);
    parts.push(figure);
    markErrors = show;
  }
  if (scene.errors.length) parts.unshift(errorTable(scene));
  else parts.unshift(element("p", { className: "lossless" }, "Lossless: every voxel is exact."));
  parts.push(
    element(
      "dl",
      {},
      ...scene.facts.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]),
    ),
  );
  if (scene.notes.length) {
    const notes = scene.notes.map((note) => element("li", {}, note));
    parts.push(element("h3", {}, "Notes"), element("ul", {}, ...notes));
  }
  parts.push(help(scene));
  const aside = element("aside", { className: "facts", "aria-label": "File and errors" }, ...parts);
  return [
    aside,
    ({ window, limit }) => {
      mark(window.low, window.high);
      markErrors(-limit, limit);
    },
  ];
}

function errorTable(scene) {
  const measured = scene.errors.some((row) => row.measured);
  const head = ["", "stated", ...(measured ? ["measured"] : [])];
  return element(
    "table",
    {},
    element("caption", {}, scene.caption),
    element("thead", {}, element("tr", {}, ...head.map((name) => element("th", { scope: "col" }, name)))),
    element(
      "tbody",
      {},
      ...scene.errors.map((row) =>
        element(
          "tr",
          {},
          element("th", { scope: "row" }, row.name),
          element("td", {}, row.stated || "not stated"),
          ...(measured ? [element("td", {}, row.measured)] : []),
        ),
      ),
    ),
  );
}

function help(scene) {
  const keys = [
    ["↑ ↓, wheel", "slice"],
    ["click, drag", "crosshair; moves the picture when zoomed"],
    ["+ − 0, Ctrl + wheel, pinch", "zoom in, out, fit"],
    ["W", "next window"],
    ["1 2 3, 4", "one plane, all planes"],
    ...(scene.difference ? [["V", "side by side or swipe"], ["← →", "swipe"], ["E", "largest error"]] : []),
  ];
  return element(
    "details",
    {},
    element("summary", {}, "Keys and gestures"),
    element(
      "dl",
      {},
      ...keys.flatMap(([key, act]) => [element("dt", {}, key), element("dd", {}, act)]),
    ),
    element("p", {}, scene.convention ? `Shown in the ${scene.convention}.` : "Shown along the axes of the array."),
  );
}
