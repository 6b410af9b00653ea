// The viewer: its state, and how it changes. The page and the notebook mount it.

const MOST_ZOOM = 16;
const NARROW_PX = 700;
const KEPT_BYTES = 128 * 2 ** 20; // of slices
const SWIPE_STEP = 0.05;

/** Slices by key, the most recent ones kept. */
class Slices {
  #kept = new Map();
  #nbytes = 0;

  async get(key, fetch) {
    const found = this.#kept.get(key) ?? (await fetch());
    if (this.#kept.delete(key)) this.#nbytes -= found.nbytes;
    this.#kept.set(key, found);
    this.#nbytes += found.nbytes;
    for (const [old, slice] of this.#kept) {
      if (this.#nbytes <= KEPT_BYTES || old === key) break;
      this.#kept.delete(old);
      this.#nbytes -= slice.nbytes;
    }
    return found;
  }
}

class Viewer {
  constructor(root, source, scene) {
    this.root = root;
    this.source = source;
    this.scene = scene;
    this.slices = new Slices();
    const narrow = root.clientWidth < NARROW_PX;
    const lengths = [1, 1, 1];
    for (const plane of scene.planes) {
      lengths[plane.axis] = plane.count;
      [lengths[plane.rows], lengths[plane.columns]] = plane.shape;
    }
    this.state = {
      cross: lengths.map((length) => Math.floor(length / 2)),
      frame: 0,
      plane: scene.planes.length > 1 && !narrow ? "all" : scene.planes[0].name,
      swipe: scene.difference !== null && narrow,
      split: 0.5,
      window: scene.windows[0],
      limit: scene.difference?.usual || scene.difference?.largest || 1,
      zoom: 1,
      crosshair: true,
    };
    this.views = scene.planes.map((plane) => new PlaneView(this, plane));
    this.current = this.views[0];
    const [toolbar, showControls] = controls(this);
    const [aside, showFacts] = facts(this);
    this.showControls = showControls;
    this.showFacts = showFacts;
    this.alert = element("p", { className: "message", role: "alert", hidden: true });
    this.readout = element("output", { className: "readout" });
    this.stage = element(
      "div",
      { className: "stage" },
      toolbar,
      this.alert,
      this.readout,
      element("div", { className: "planes" }, ...this.views.map((view) => view.element)),
    );
    const title = element("h1", {}, scene.name);
    const against = scene.original ? `beside ${scene.original}` : "without its original";
    const tone = scene.good === null ? "" : scene.good ? "good" : "bad";
    const verdict = element("p", { className: `verdict ${tone}` }, scene.verdict);
    root.replaceChildren(
      element("header", {}, title, element("p", {}, against), verdict),
      element("div", { className: "columns" }, this.stage, aside),
    );
    root.addEventListener("keydown", (event) => this.key(event));
    this.observer = new ResizeObserver(() => this.refresh());
    this.observer.observe(root);
    this.refresh();
  }

  /** Show the state at the next frame of the screen. */
  refresh() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      const { state } = this;
      this.root.classList.toggle("crosshair", state.crosshair);
      this.root.classList.toggle("swiping", state.swipe);
      this.root.classList.toggle("single", state.plane !== "all");
      for (const view of this.views) {
        view.element.hidden = state.plane !== "all" && state.plane !== view.plane.name;
        if (!view.element.hidden) view.update();
      }
      this.showControls();
      this.showFacts(state);
      this.tellValues();
    });
  }

  set(changes) {
    Object.assign(this.state, changes);
    this.refresh();
  }

  /** Show one plane, or all. */
  show(name) {
    const view = this.views.find((one) => one.plane.name === name);
    if (view) this.current = view;
    this.set({ plane: name });
  }

  /** Choose a window by its name; "Own" keeps the present one, to be changed. */
  chooseWindow(name) {
    const window = this.scene.windows.find((one) => one.name === name);
    this.set({ window: window ?? { ...this.state.window, name: "Own" } });
  }

  /** Zoom to a factor around the crosshair, in one plane around a place of its frame. */
  zoom(factor, plane = null, place = null) {
    const { state } = this;
    const before = state.zoom;
    const fixed = this.views.map((view) => (view === plane ? place : view.spot));
    state.zoom = Math.min(MOST_ZOOM, Math.max(1, factor));
    this.views.forEach((view, n) => {
      view.move(fixed[n].map((at, m) => at - ((at - view.pan[m]) * state.zoom) / before));
    });
  }

  /** Go to the voxel of the largest error. */
  goToWorst() {
    const { where } = this.scene.difference;
    const [i, j, k = 0, frame = 0] = where;
    this.set({ cross: [i, j, k], frame, crosshair: true });
    this.views.forEach((view) => view.reveal());
  }

  /** Tell the values at the crosshair. */
  tellValues() {
    const { state, scene } = this;
    const shown = this.views.filter((view) => !view.element.hidden);
    const values = shown.map((view) => view.values()).find(Boolean);
    if (!values) return;
    const place = state.cross.slice(0, Math.min(3, scene.shape.length)).join(", ");
    const unit = scene.unit ? ` ${scene.unit}` : "";
    const told = Object.entries(values).map(([kind, value]) => {
      const sign = kind === "difference" && value > 0 ? "+" : "";
      return `${kind} ${sign}${inWords(value)}`;
    });
    this.readout.value = `Voxel (${place}): ${told.join(", ")}${unit}`;
  }

  /** Show an error, or none. */
  message(text) {
    this.alert.textContent = text;
    this.alert.hidden = !text;
  }

  /** Follow a key that no control has taken. */
  key(event) {
    const { state, scene } = this;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const field = event.target.closest("select, input");
    const typed = field && !["radio", "checkbox", "range"].includes(field.type);
    if (typed || (field && event.key.startsWith("Arrow"))) return;
    const compared = scene.difference !== null;
    const split = (by) => this.set({ split: Math.min(1, Math.max(0, state.split + by)) });
    const acts = {
      ArrowUp: () => this.current.go(this.current.index + 1),
      ArrowDown: () => this.current.go(this.current.index - 1),
      "+": () => this.zoom(state.zoom * ZOOM_STEP),
      "=": () => this.zoom(state.zoom * ZOOM_STEP),
      "-": () => this.zoom(state.zoom / ZOOM_STEP),
      0: () => this.zoom(1),
      4: () => this.views.length > 1 && this.show("all"),
      w: () => {
        const names = scene.windows.map((window) => window.name);
        this.chooseWindow(names[(names.indexOf(state.window.name) + 1) % names.length]);
      },
    };
    this.views.forEach((view, n) => (acts[n + 1] = () => this.show(view.plane.name)));
    if (compared) {
      acts.v = () => this.set({ swipe: !state.swipe });
      acts.e = () => this.goToWorst();
      if (state.swipe) {
        acts.ArrowLeft = () => split(-SWIPE_STEP);
        acts.ArrowRight = () => split(SWIPE_STEP);
      }
    }
    const act = acts[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!act) return;
    event.preventDefault();
    event.stopPropagation();
    act();
  }

  close() {
    this.observer.disconnect();
    this.source.close();
  }
}

/** Show the scans of a source in an element; return the viewer, or null where there are none. */
export async function mount(root, source, { focus = false } = {}) {
  root.classList.add("deepstd-viewer");
  root.tabIndex = -1; // so that keys reach it after a click
  root.dataset.lmSuppressShortcuts = "true"; // JupyterLab's own keys
  root.replaceChildren(element("p", { className: "message", role: "status" }, "Loading…"));
  try {
    const scene = await source.scene();
    if (focus) document.title = `${scene.name} – DeepSTD`;
    const viewer = new Viewer(root, source, scene);
    if (focus) root.focus();
    return viewer;
  } catch (error) {
    root.replaceChildren(element("p", { className: "message", role: "alert" }, error.message));
    return null;
  }
}

/** Show a widget of anywidget in a notebook. */
export default {
  render({ model, el }) {
    const mounted = mount(el, overMessages(model));
    return async () => (await mounted)?.close();
  },
};
