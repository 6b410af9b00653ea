// Where the scans come from: the server of the page, or the kernel of a notebook.
// Both give scene() and slice(plane, index, frame), which resolve or reject with an Error.

const TOKEN_HEADER = "X-DeepSTD-Token";
const KERNEL_MS = 60_000; // after which a kernel counts as silent

/** Return the scans of the server that this page came from. */
export function overHttp(token) {
  const get = async (path) => {
    let answer;
    try {
      answer = await fetch(path, { headers: { [TOKEN_HEADER]: token }, cache: "no-store" });
    } catch {
      throw new Error("The page has ended. Run the command again.");
    }
    if (!answer.ok) throw new Error(await answer.text());
    return answer;
  };
  return {
    scene: async () => (await get("/scene")).json(),
    slice: async (plane, index, frame) =>
      (await get(`/slice?${new URLSearchParams({ plane, index, frame })}`)).arrayBuffer(),
    close() {},
  };
}

/** Return the scans of a notebook's kernel, by the messages of an anywidget model. */
export function overMessages(model) {
  const waiting = new Map();
  const prefix = Math.random().toString(36).slice(2); // several views share one model
  let count = 0;
  const listen = (message, buffers) => {
    const answer = waiting.get(message?.id);
    waiting.delete(message?.id);
    answer?.(message, buffers);
  };
  model.on("msg:custom", listen);
  const ask = (asked) =>
    new Promise((resolve, reject) => {
      const id = `${prefix}-${++count}`;
      const timer = setTimeout(() => {
        waiting.delete(id);
        reject(new Error("The kernel does not answer. Run the cell again."));
      }, KERNEL_MS);
      waiting.set(id, (message, buffers) => {
        clearTimeout(timer);
        if (message.error) return reject(new Error(message.error));
        const view = buffers[0]; // of an offset that typed arrays may not take
        resolve(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
      });
      model.send({ id, ...asked });
    });
  return {
    scene: async () => JSON.parse(new TextDecoder().decode(await ask({ ask: "scene" }))),
    slice: (plane, index, frame) => ask({ ask: "slice", plane, index, frame }),
    close: () => model.off("msg:custom", listen),
  };
}
