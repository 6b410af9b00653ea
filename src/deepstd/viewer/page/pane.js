// One plane: a slider, and its slice as original, restored and difference, or as a swipe.

const NEAR_PX = 24; // of the divider, for fingers
const STILL_PX = 4; // a pointer that moved less has clicked
const LARGE_PIXELS = 3; // screen pixels a voxel from which voxels are drawn as squares
const TITLES = { original: "Original", restored: "Restored", difference: "Restored − original" };

/** One plane of the viewer; `viewer` has the state, the scene and the slices. */
class PlaneView {
  constructor(viewer, plane) {
    this.viewer = viewer;
    this.plane = plane;
    [this.rows, this.columns] = plane.shape;
    this.wanted = null;
    this.pan = [0, 0]; // of the picture, in shares of the frame
    const compared = viewer.scene.difference !== null;
    const kinds = compared
      ? [["original"], ["restored"], ["original", "restored"], ["difference"]]
      : [["restored"]];
    this.frames = kinds.map((layers) => this.frame(layers));
    const title = plane.name[0].toUpperCase() + plane.name.slice(1);
    this.slider = element("input", {
      type: "range",
      min: 0,
      max: plane.count - 1,
      step: 1,
      "aria-label": `${title}: slice`,
    });
    this.slider.addEventListener("input", () => this.go(Number(this.slider.value)));
    this.number = element("output", { className: "number" });
    this.element = element(
      "section",
      { className: "plane", "aria-label": title },
      element(
        "div",
        { className: "plane-head" },
        element("h2", {}, title),
        ...(plane.count > 1 ? [this.slider, this.number] : []),
      ),
      element("div", { className: "frames" }, ...this.frames.map((frame) => frame.figure)),
    );
    this.element.addEventListener("pointerdown", () => (viewer.current = this), true);
    this.element.addEventListener("focusin", () => (viewer.current = this));
  }

  /** Return the elements of one picture; two layers make a swipe. */
  frame(layers) {
    const swipe = layers.length > 1;
    const [left, right, top, bottom] = this.plane.edges;
    const canvases = layers.map((kind) =>
      element("canvas", {
        width: this.columns,
        height: this.rows,
        role: "img",
        "aria-label": `${TITLES[kind]}, ${this.plane.name}`,
      }),
    );
    const holders = canvases.map((canvas) => element("div", { className: "layer" }, canvas));
    const lines = ["h", "v"].map((name) => element("div", { className: `cross ${name}` }));
    const edges = { left, right, top, bottom };
    const letters = Object.entries(edges).map(([side, letter]) =>
      element("span", { className: `edge ${side}`, "aria-hidden": "true" }, letter ?? ""),
    );
    const box = element("div", { className: "frame" }, ...holders, ...lines, ...letters);
    box.style.setProperty(
      "--aspect",
      (this.columns * this.plane.pixel[1]) / (this.rows * this.plane.pixel[0]),
    );
    const caption = swipe ? "Swipe: original on the left, restored on the right" : TITLES[layers[0]];
    const figure = element("figure", {}, element("figcaption", {}, caption), box);
    const made = { layers, swipe, canvases, holders, lines, box, figure };
    if (swipe) {
      made.divider = element("div", { className: "divider" });
      made.slider = element("input", { type: "range", min: 0, max: 100, step: 1 });
      made.slider.setAttribute("aria-label", "Swipe: percent of the picture that is the original");
      made.slider.addEventListener("input", () => {
        this.viewer.state.split = made.slider.value / 100;
        this.viewer.refresh();
      });
      box.append(made.divider);
      figure.append(made.slider);
    }
    this.listen(made);
    return made;
  }

  /** Go to a slice, in all planes. */
  go(index) {
    const { state } = this.viewer;
    state.cross[this.plane.axis] = Math.min(this.plane.count - 1, Math.max(0, index));
    this.viewer.refresh();
  }

  /** Index of the slice that is looked at. */
  get index() {
    return this.viewer.state.cross[this.plane.axis];
  }

  /** Row and column of the crosshair in the picture. */
  get place() {
    const { rows, columns, flipped } = this.plane;
    const { cross } = this.viewer.state;
    const row = flipped[0] ? this.rows - 1 - cross[rows] : cross[rows];
    const column = flipped[1] ? this.columns - 1 - cross[columns] : cross[columns];
    return [row, column];
  }

  /** Place of the crosshair in the frame, in shares of its width and height. */
  get spot() {
    const [row, column] = this.place;
    const { zoom } = this.viewer.state;
    return [
      this.pan[0] + (zoom * (column + 0.5)) / this.columns,
      this.pan[1] + (zoom * (row + 0.5)) / this.rows,
    ];
  }

  /** Move the picture, as far as it still fills the frame. */
  move(pan) {
    this.pan = pan.map((at) => Math.min(0, Math.max(1 - this.viewer.state.zoom, at)));
    this.viewer.refresh();
  }

  /** Bring the crosshair to the middle if it is outside of the frame. */
  reveal() {
    const { spot } = this;
    if (spot.every((at) => at > 0 && at < 1)) return;
    this.move(this.pan.map((at, n) => at + 0.5 - spot[n]));
  }

  /** Move the crosshair to a place in the frame, given in shares of its height and width. */
  point(across, down) {
    const { state } = this.viewer;
    const at = (share, pan, length) =>
      Math.min(length - 1, Math.max(0, Math.floor(((share - pan) / state.zoom) * length)));
    const row = at(down, this.pan[1], this.rows);
    const column = at(across, this.pan[0], this.columns);
    const { rows, columns, flipped } = this.plane;
    state.cross[rows] = flipped[0] ? this.rows - 1 - row : row;
    state.cross[columns] = flipped[1] ? this.columns - 1 - column : column;
    this.viewer.refresh();
  }

  /** Follow pointers and the wheel on a frame. */
  listen(frame) {
    const { viewer } = this;
    const { box } = frame;
    const pointers = new Map();
    let drag = null;
    const share = (event) => {
      const area = box.getBoundingClientRect();
      return [(event.clientX - area.left) / area.width, (event.clientY - area.top) / area.height];
    };
    const spread = () => {
      const [a, b] = [...pointers.values()];
      const area = box.getBoundingClientRect();
      return {
        distance: Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY),
        middle: [
          ((a.clientX + b.clientX) / 2 - area.left) / area.width,
          ((a.clientY + b.clientY) / 2 - area.top) / area.height,
        ],
      };
    };
    box.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      box.setPointerCapture(event.pointerId);
      pointers.set(event.pointerId, event);
      if (pointers.size === 2) {
        drag = { kind: "pinch", ...spread(), zoom: viewer.state.zoom };
        return;
      }
      const [across, down] = share(event);
      const away = Math.abs(across - viewer.state.split) * box.clientWidth;
      const kind = frame.swipe && away < NEAR_PX ? "split" : viewer.state.zoom > 1 ? "pan" : "point";
      drag = { kind, from: event, pan: [...this.pan], moved: false };
      if (kind === "point") this.point(across, down);
    });
    box.addEventListener("pointermove", (event) => {
      if (!drag || !pointers.has(event.pointerId)) return;
      pointers.set(event.pointerId, event);
      const [across, down] = share(event);
      if (drag.kind === "pinch") {
        if (pointers.size < 2) return;
        const { distance, middle } = spread();
        viewer.zoom((drag.zoom * distance) / (drag.distance || 1), this, middle);
        return;
      }
      const [right, below] = [event.clientX - drag.from.clientX, event.clientY - drag.from.clientY];
      drag.moved ||= Math.hypot(right, below) > STILL_PX;
      if (drag.kind === "split") {
        viewer.state.split = Math.min(1, Math.max(0, across));
        viewer.refresh();
      } else if (drag.kind === "pan") {
        this.move([drag.pan[0] + right / box.clientWidth, drag.pan[1] + below / box.clientHeight]);
      } else this.point(across, down);
    });
    const end = (event) => {
      if (drag?.kind === "pan" && !drag.moved && event.type === "pointerup") {
        this.point(...share(event));
      }
      pointers.delete(event.pointerId);
      if (!pointers.size || drag?.kind === "pinch") drag = null;
    };
    box.addEventListener("pointerup", end);
    box.addEventListener("pointercancel", end);
    box.addEventListener(
      "wheel",
      (event) => {
        event.preventDefault();
        const factor = Math.exp(-event.deltaY / 200);
        if (event.ctrlKey) viewer.zoom(viewer.state.zoom * factor, this, share(event));
        else if (event.deltaY) this.go(this.index + Math.sign(event.deltaY));
      },
      { passive: false },
    );
  }

  /** Show the state: fetch the slice if it is another one, place everything. */
  update() {
    const { state } = this.viewer;
    this.slider.value = this.index;
    this.number.value = `${this.index + 1} / ${this.plane.count}`;
    const { pan, spot } = this;
    for (const frame of this.frames) {
      const only = frame.layers.length === 1 && frame.layers[0] !== "difference";
      frame.figure.hidden = frame.swipe ? !state.swipe : only && state.swipe;
      if (frame.figure.hidden) continue;
      const large = (frame.box.clientWidth * state.zoom) / this.columns >= LARGE_PIXELS;
      for (const canvas of frame.canvases) {
        canvas.style.transform =
          `translate(${100 * pan[0]}%, ${100 * pan[1]}%) scale(${state.zoom})`;
        canvas.classList.toggle("squares", large && state.zoom > 1);
      }
      frame.box.classList.toggle("zoomed", state.zoom > 1);
      frame.lines[0].style.top = `${100 * spot[1]}%`;
      frame.lines[1].style.left = `${100 * spot[0]}%`;
      if (frame.swipe) {
        frame.holders[0].style.clipPath = `inset(0 ${100 * (1 - state.split)}% 0 0)`;
        frame.divider.style.left = `${100 * state.split}%`;
        frame.slider.value = Math.round(100 * state.split);
      }
    }
    this.fetch();
  }

  /** Fetch and paint the wanted slice; while one is under way, the last wanted one waits. */
  async fetch() {
    const { state, scene } = this.viewer;
    this.wanted = `${this.plane.name} ${this.index} ${state.frame}`;
    if (this.fetching) return;
    this.fetching = true;
    try {
      while (this.held !== this.wanted) {
        const key = this.wanted;
        const pixels = this.rows * this.columns;
        const slice = await this.viewer.slices.get(key, async () =>
          parseSlice(
            await this.viewer.source.slice(this.plane.name, this.index, state.frame),
            pixels,
            scene.whole,
            scene.difference !== null,
          ),
        );
        this.data = slice;
        this.held = key;
        this.viewer.message("");
      }
    } catch (error) {
      this.viewer.message(error.message);
    } finally {
      this.fetching = false;
    }
    this.paint();
    this.viewer.tellValues();
  }

  /** Paint the slice at hand. */
  paint() {
    if (!this.data) return;
    const { window, limit } = this.viewer.state;
    for (const frame of this.frames.filter((one) => !one.figure.hidden)) {
      frame.layers.forEach((kind, n) => {
        const look = kind === "difference" ? `${limit}` : `${window.low} ${window.high}`;
        const painted = `${this.held} ${look}`;
        const canvas = frame.canvases[n];
        if (canvas.painted === painted) return;
        canvas.painted = painted;
        if (kind === "difference") paintDifference(canvas, this.data.difference, limit);
        else paintGrey(canvas, this.data[kind], window);
      });
    }
    this.element.dataset.shown = this.held;
  }

  /** Return the values at the crosshair, or null while they are not at hand. */
  values() {
    if (!this.data || this.held !== this.wanted) return null;
    const [row, column] = this.place;
    const at = row * this.columns + column;
    return Object.fromEntries(
      ["original", "restored", "difference"]
        .filter((kind) => kind in this.data)
        .map((kind) => [kind, this.data[kind][at]]),
    );
  }
}
