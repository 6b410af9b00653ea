// Values of a slice, and their pictures: grey by a window, differences in blue and orange.

const BELOW = [60, 160, 255]; // restored is darker than the original
const ABOVE = [255, 140, 30]; // restored is brighter
const SHADES = 255;

/** Return the arrays in the bytes of a slice: restored and, with an original, two more. */
function parseSlice(buffer, pixels, whole, compared) {
  const [Values, Errors] = whole ? [Int16Array, Int32Array] : [Float32Array, Float32Array];
  const nbytes = pixels * Values.BYTES_PER_ELEMENT;
  const found = { restored: new Values(buffer, 0, pixels), nbytes: buffer.byteLength };
  if (compared) {
    found.original = new Values(buffer, nbytes, pixels);
    found.difference = new Errors(buffer, 2 * nbytes, pixels);
  }
  return found;
}

/** Paint values as grey, black at window.low and white at window.high; NaN is black. */
function paintGrey(canvas, values, window) {
  const scale = SHADES / (window.high - window.low);
  paint(canvas, (pixels) => {
    for (let n = 0; n < values.length; n++) {
      const shade = (values[n] - window.low) * scale;
      const grey = shade > 0 ? (shade < SHADES ? Math.round(shade) : SHADES) : 0;
      pixels[n] = 0xff000000 | (grey << 16) | (grey << 8) | grey;
    }
  });
}

/** Paint differences: black for none, full colour from ±limit on. */
function paintDifference(canvas, values, limit) {
  const colours = [BELOW, ABOVE].map((end) =>
    Uint32Array.from({ length: SHADES + 1 }, (_, n) => {
      const [red, green, blue] = end.map((part) => Math.round((part * n) / SHADES));
      return 0xff000000 | (blue << 16) | (green << 8) | red;
    }),
  );
  paint(canvas, (pixels) => {
    for (let n = 0; n < values.length; n++) {
      const size = Math.min(SHADES, Math.round((Math.abs(values[n]) / limit) * SHADES)) || 0;
      pixels[n] = colours[values[n] > 0 ? 1 : 0][size];
    }
  });
}

function paint(canvas, fill) {
  const context = canvas.getContext("2d");
  const image = context.createImageData(canvas.width, canvas.height);
  fill(new Uint32Array(image.data.buffer));
  context.putImageData(image, 0, 0);
}
